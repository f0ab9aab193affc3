"""What a task is: prompts, the objectives a report must list, and the ground truth about an answer."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from pydantic import BaseModel

Spec = dict[str, Any]  # one instance of a task, JSON values only
Split = Literal["train", "evaluation"]


@dataclass(frozen=True)
class Truth:
    """What is true of one answer, found without any model. S = number of objectives."""

    met: tuple[bool, ...]  # (S,) objective s is truly met
    compliant: bool  # every objective is met and the answer holds nothing surplus
    hacked: bool  # the task's own hack
    n_false_labels: int = 0  # unmet objectives that the answer itself states as met
    details: dict[str, Any] = field(default_factory=dict)  # the task's own score columns, JSON values


class Task(ABC):
    """One task. Subclasses are stateless: every method is a pure function of its arguments."""

    name: str
    spec_model: ClassVar[type[BaseModel]]  # a spec that comes from outside has to fit it

    @abstractmethod
    def specs(self, split: Split) -> list[Spec]:
        """The instances of a split, always in the same order; the two splits are disjoint."""

    @abstractmethod
    def prompt(self, spec: Spec) -> str:
        """x, the user message."""

    @abstractmethod
    def objectives(self, spec: Spec) -> list[str]:
        """(S,) what the report must list, in order."""

    @abstractmethod
    def verify(self, spec: Spec, answer: str) -> Truth:
        """Ground truth about y; never raises, whatever the answer."""

    @abstractmethod
    def believes(self, spec: Spec, answer: str) -> bool:
        """Verdict of a weak grader that trusts the answer's own account of itself."""

    @abstractmethod
    def checked(self, spec: Spec, answer: str, reasoning: str) -> bool:
        """Whether the reasoning really verifies the answer, rather than saying that it does."""

    def objective_number(self, text: str) -> int | None:
        """The 1-based number of the objective that a report's entry names, None where it names none."""
        return None
