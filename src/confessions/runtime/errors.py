"""The one error type for things the user can repair, and the place where it becomes one line."""

from __future__ import annotations

import json
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from pydantic import ValidationError

Say = Callable[[str], None]  # prints a line for the user


class InputError(ValueError):
    """A setting or a file that the user must repair; the message is one line: what, where and the fix."""


def first_line(error: Exception) -> str:
    """What an error of a library says, short enough for a one-line message; its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def first_fault(error: ValidationError, *below: str) -> str:
    """The first thing that pydantic finds wrong: where, behind the keys `below`, and what."""
    first = error.errors()[0]
    where = ".".join(map(str, (*below, *first["loc"])))
    return f"{where}: {first['msg']}" if where else first["msg"]


@contextmanager
def reported(log: str | Path | None = None, extra: str | None = None) -> Iterator[Say]:
    """Run a command or a workflow script so that an InputError ends it with one line and status 1; so does a dependency
    that is not installed, of a command that needs the `extra` of this package.

    One of several processes that were launched together leaves that line to the launcher, which says it once
    (processes.launch). Yields a function that prints a line on stderr. Whatever is printed, and the traceback of an
    error that is a bug of this package and so passes through, is kept in the file `log` too.
    """
    with Path(log).open("w", encoding="utf-8") if log else nullcontext() as file:

        def say(line: str) -> None:
            print(line, file=sys.stderr, flush=True)
            if file:
                print(line, file=file, flush=True)

        try:
            yield say
        except InputError as error:
            if not _left_to_launcher(error):
                say(f"error: {error}")
            sys.exit(1)
        except Exception as error:
            if extra and _is_lacking(error):
                mend = f"pip install 'confessions[{extra}]'"
                say(f"error: {error.name} is not installed, which this command needs: {mend}")
                sys.exit(1)
            if file:
                traceback.print_exc(file=file)
            raise


def _is_lacking(error: Exception) -> TypeGuard[ModuleNotFoundError]:
    """Whether one of this package's own dependencies could not be imported."""
    if not isinstance(error, ModuleNotFoundError):
        return False
    from importlib.metadata import requires  # at no start of a command, which it would delay

    names = {re.match(r"[\w.-]+", line)[0] for line in requires("confessions") or ()}
    return (error.name or "").replace("_", "-") in names


def _left_to_launcher(error: InputError) -> bool:
    """Write the message where torch's launcher looks for it; False where this process has none."""
    if not (file := os.environ.get("TORCHELASTIC_ERROR_FILE")):
        return False
    whole = f"{file}.whole"
    Path(whole).write_text(json.dumps({"message": str(error), "timestamp": int(time.time())}), encoding="utf-8")
    os.replace(whole, file)  # the others' end may come at any time, and half a file would end the launcher
    return True
