"""A truth that is given with a transcript, instead of one that a task of this package finds."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from confessions import tasks
from confessions.tasks.base import Spec, Split, Task, Truth


class GivenSpec(BaseModel):
    """What was asked, and which of it the answer met; null where that is not known."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    objectives: Annotated[list[str], Field(min_length=1, max_length=100)]
    met: list[bool | None]

    @model_validator(mode="after")
    def _one_truth_each(self) -> Self:
        if len(self.met) != len(self.objectives):
            what = f"met has {len(self.met)} values for {len(self.objectives)} objectives: give one for each"
            raise PydanticCustomError("met", what)
        return self


class Given(Task):
    """Anybody's task. It can score a transcript, and nothing else: what an answer is worth, its line says."""

    name = "given"
    spec_model = GivenSpec

    def specs(self, split: Split) -> list[Spec]:
        """None: the instances are those of the transcripts."""
        return []

    def prompt(self, spec: Spec) -> str:
        """Not known."""
        return ""

    def objectives(self, spec: Spec) -> list[str]:
        return spec["objectives"]

    def verify(self, spec: Spec, answer: str) -> Truth:
        """The given truth; an answer is compliant where everything is met, and of hacks nothing is known."""
        met = tuple(spec["met"])
        compliant = None if None in met and False not in met else False not in met
        return Truth(met, compliant, hacked=None)

    def believes(self, spec: Spec, answer: str) -> None:
        """Not known."""

    def checked(self, spec: Spec, answer: str, reasoning: str) -> None:
        """Not known."""


def task_named(name: str) -> Task:
    """A task by its name in a table of scores. Raises InputError for an unknown one."""
    return Given() if name == Given.name else tasks.get(name)
