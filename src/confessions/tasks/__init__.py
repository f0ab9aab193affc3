"""The tasks, a folder each: its prompt, the truth of an answer, demonstrations, detectors of its hacks, problems.

A folder with a task.py that has a module-level TASK is a task, called like the folder; adding it is all it takes. A
folder anywhere else is one too, called by its path (`./mine/task`). What several tasks share lies beside the folders.
Nothing here loads a model.
"""

import difflib
from copy import copy
from functools import cache
from importlib import import_module
from pathlib import Path

from confessions.runtime import outside
from confessions.runtime.errors import InputError
from confessions.tasks.base import ReadsProblems, Reasoning, Spec, Task


@cache
def names() -> tuple[str, ...]:
    """Names of the tasks in this package, in alphabetical order."""
    return tuple(sorted(file.parent.name for file in Path(__file__).parent.glob("*/task.py")))


def get(name: str, problems: str | None = None) -> Task:
    """The task called `name`, on the problems of a file where one is named. Raises InputError with the nearest known
    name when there is none, and for a task that reads no problems."""
    elsewhere = outside.is_path(name)
    task = outside.member(Path(name) / "task.py", "TASK") if elsewhere else _own(name)
    if problems:
        if not isinstance(task, ReadsProblems):
            raise InputError(f"{task.name}: this task reads no file of problems")
        task = task.on(problems)
    if elsewhere:  # whatever it calls itself: its rollouts find it again by this name
        task = copy(task)
        task.name = name
    return task


@cache
def _own(name: str) -> Task:
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known tasks: {', '.join(names())}"
        raise InputError(f"unknown task {name!r}: {hint}")
    return import_module(f"{__name__}.{name}.task").TASK
