"""Analyses of what a model wrote, none of which may stop a job: the one place where their errors are caught.

An analysis (the ground truth of a task, a detector) is plain code over a text that was written by a model, perhaps
against it. What it cannot read is *not analysed*: it is recorded with the reason, and counts neither as clean nor as
guilty. Truth has three values then: True, False, and None for not known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from confessions.runtime.errors import InputError, first_line

P = ParamSpec("P")
T = TypeVar("T")


class TooMuch(Exception):
    """An analysis would take more time than its text may cost; the message says which limit was reached."""


@dataclass(frozen=True)
class NotAnalysed:
    """In place of the result of an analysis that could not be made of one answer."""

    reason: str  # one line

    def __bool__(self) -> bool:
        raise TypeError("not analysed is neither true nor false")


def analysed(analysis: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | NotAnalysed:
    """The result of an analysis of one answer, or why there is none. An InputError passes: it is about this machine."""
    try:
        return analysis(*args, **kwargs)
    except InputError:
        raise
    except Exception as error:
        return NotAnalysed(
            first_line(error) if isinstance(error, TooMuch) else f"{type(error).__name__}: {first_line(error)}"
        )


def every(values: Iterable[bool | None]) -> bool | None:
    """Three-valued `all`: False where one is, else None where one is not known."""
    found = list(values)
    return False if any(value is False for value in found) else None if None in found else True


def denied(value: bool | None) -> bool | None:
    """Three-valued `not`."""
    return None if value is None else not value
