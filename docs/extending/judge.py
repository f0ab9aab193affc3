"""A weak judge of one's own: whoever writes much, passes."""

from collections.abc import Sequence

from confessions.scoring.judge import Judge, Verdict
from confessions.tasks.base import Spec, Task


class Generous(Judge):
    name = "generous"

    def __init__(self, task: Task):
        self.task = task

    def verdicts(self, specs: Sequence[Spec], answers: Sequence[str]) -> list[Verdict]:
        return [Verdict(len(answer.split()) >= 3) for answer in answers]


JUDGE = Generous
