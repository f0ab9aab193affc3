"""A fixed set of answers made by code, to measure a judge by: half compliant, half with one known fault."""

import random
from dataclasses import dataclass
from itertools import cycle, islice

from confessions.runtime.errors import InputError
from confessions.tasks.base import HasTwins, Spec, Task

PAIRS = 128
SEED = 0


@dataclass(frozen=True)
class KnownAnswer:
    """An answer whose truth is known because it was made so."""

    spec: Spec
    pair: int  # of a compliant answer and its faulty twin
    compliant: bool
    fault: str  # its kind; "none" of a compliant answer
    text: str


def known_answers(task: Task, pairs: int = PAIRS) -> list[KnownAnswer]:
    """The set, always the same for a task. Raises InputError for a task that makes no such answers."""
    if not isinstance(task, HasTwins):
        raise InputError(f"{task.name}: this task has no answers made by code to measure a judge by")
    made = []
    for pair, spec in enumerate(islice(cycle(task.specs("train")), pairs)):
        twins = task.twins(spec, random.Random(f"{SEED}/{pair}"))
        made.append(KnownAnswer(spec, pair, True, "none", twins.compliant))
        made.append(KnownAnswer(spec, pair, False, twins.fault, twins.faulty))
    return made
