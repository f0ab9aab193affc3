"""The one error type for things the user can repair, and the place where it becomes one line."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path


class InputError(ValueError):
    """A setting or a file that the user must repair; the message is one line: what, where and the fix."""


def first_line(error: Exception) -> str:
    """What an error of a library says, short enough for a one-line message; its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


@contextmanager
def reported(log: str | Path | None = None) -> Iterator[Callable[[str], None]]:
    """Run a command or a workflow script so that an InputError ends it with one line and status 1.

    Yields a function that prints a line on stderr. Whatever is printed, and the traceback of an error that is
    a bug of ours and so passes through, is kept in the file `log` too.
    """
    with Path(log).open("w", encoding="utf-8") if log else nullcontext() as file:

        def say(line: str) -> None:
            print(line, file=sys.stderr, flush=True)
            if file:
                print(line, file=file, flush=True)

        try:
            yield say
        except InputError as error:
            say(f"error: {error}")
            sys.exit(1)
        except Exception:
            if file:
                traceback.print_exc(file=file)
            raise
