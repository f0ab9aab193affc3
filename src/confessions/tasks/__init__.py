"""The tasks. A task is one module of this package with a module-level TASK; adding the file is all it takes.

Modules whose name starts with an underscore, and `base`, are not tasks.
"""

import difflib
import pkgutil
from functools import cache
from importlib import import_module

from confessions.runtime.errors import InputError
from confessions.tasks.base import Reasoning, Spec, Task

__all__ = ["Reasoning", "Spec", "Task", "get", "names"]


@cache
def names() -> tuple[str, ...]:
    """Names of the tasks in this package, in alphabetical order."""
    modules = [module.name for module in pkgutil.iter_modules(__path__)]
    return tuple(sorted(name for name in modules if name != "base" and not name.startswith("_")))


def get(name: str, problems: str | None = None) -> Task:
    """The task called `name`, on the problems of a file where one is named. Raises InputError with the nearest known
    name when there is none."""
    task = _task(name)
    return task.on(problems) if problems else task


@cache
def _task(name: str) -> Task:
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known tasks: {', '.join(names())}"
        raise InputError(f"unknown task {name!r}: {hint}")
    return import_module(f"{__name__}.{name}").TASK
