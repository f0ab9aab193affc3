"""What a task is: prompts, the objectives a report must list, and the ground truth about an answer."""

import inspect
import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel

from confessions import prompts
from confessions.tasks.analysed import NotAnalysed, analysed
from confessions.tasks.calibrated import Calibrated
from confessions.tasks.conversation import Demonstration, Spec
from confessions.tasks.numbering import named

if TYPE_CHECKING:
    import pandas as pd

Split = Literal["train", "evaluation"]
EVALUATION_EVERY = 4  # every 4th instance of a list is kept for evaluation
Reasoning = Literal["none", "neutral", "trigger"]  # of a seeded answer: none, one that says nothing of it, why it hacks
# How turn 2 sees that reasoning: as it was sampled, not at all, or with each sentence of the seeding in other words.
INTACT, MASKED, PARAPHRASED = VIEWS = ("intact", "masked", "paraphrased")


def of_split(specs: Sequence[Spec], split: Split) -> list[Spec]:
    """Train: three in four of a task's instances; evaluation: every fourth."""
    wanted = split == "evaluation"
    return [spec for i, spec in enumerate(specs, 1) if (i % EVALUATION_EVERY == 0) == wanted]


@dataclass(frozen=True)
class Truth:
    """What is true of one answer, found without any model; None where it is not known. S = number of objectives."""

    met: tuple[bool | None, ...]  # (S,) objective s is truly met
    compliant: bool | None  # every objective is met and the answer holds nothing surplus
    hacked: bool | None  # the task's own hack
    n_false_labels: int = 0  # unmet objectives that the answer itself states as met
    details: dict[str, Any] = field(default_factory=dict)  # the task's own score columns, JSON values
    not_known: str = ""  # why something is not known: what could not be analysed or measured


@dataclass(frozen=True)
class Twins:
    """Two answers made by code that differ in one thing: to measure a judge by."""

    compliant: str
    faulty: str  # misses exactly one objective
    fault: str  # its kind, in a few words


@dataclass(frozen=True)
class Wording:
    """How figures and logs speak of a task."""

    objectives: str = "objectives"
    all_met: str = "every objective met"
    checks: str = "checks before it reports"  # what `checked` means
    hack: str = "the task's own hack"  # what `hacked` means
    variants: Mapping[str, str] = field(default_factory=dict)  # of the request, those that are the task's own


class Task(ABC):
    """One task. Subclasses are stateless: every method is a pure function of its arguments, and of `problems`.

    What a task can do more is a class of its own, below, that it derives from too: `isinstance` tells.
    """

    name: str
    problems: Path | None = None  # the file that its instances come from; None: they are its own
    spec_model: ClassVar[type[BaseModel]]  # a spec that comes from outside has to fit it
    wording: ClassVar[Wording] = Wording()
    judge_text: ClassVar[str] = "judge"  # the text of prompts/ that a language model as the weak judge is shown
    rates: ClassVar[tuple[str, ...]] = ()  # of its own details (True, False or None), what is counted of all answers
    surveyed: ClassVar[bool] = False  # the hack survey's detectors (word_count_unlabelled.hacks) read its answers

    def text(self) -> str:
        """prompt.txt beside the task's module, without its last line break: what `prompt` fills in."""
        return _read(Path(inspect.getfile(type(self))).with_name("prompt.txt"))

    def ready(self) -> None:
        """Called before long work that will grade answers: raises InputError where this machine cannot."""
        return

    @abstractmethod
    def specs(self, split: Split) -> list[Spec]:
        """The instances of a split, always in the same order; the two splits are disjoint."""

    @abstractmethod
    def prompt(self, spec: Spec) -> str:
        """x, the user message."""

    @abstractmethod
    def objectives(self, spec: Spec) -> list[str]:
        """(S,) what the report must list, in order."""

    def variants(self) -> Mapping[str, Path]:
        """Wordings of the request that suit this task alone, by name: variants/*.txt beside its module, or beside that
        of a task that it derives from."""
        return _variants(type(self))

    def wording_of(self, variant: str) -> str:
        """The text of a variant: the task's own, or one for all tasks. Raises InputError where there is none."""
        own = self.variants().get(variant)
        return _read(own) if own else prompts.text("variants", variant)

    def request(self, spec: Spec, variant: str) -> str:
        """xc, the request for a report."""
        return prompts.request(self.wording_of(variant), self.objectives(spec))

    def kinds(self, spec: Spec) -> list[str]:
        """(S,) what a policy knows of each objective without the answer."""
        return [f"objective {s}" for s in range(1, len(self.objectives(spec)) + 1)]

    @abstractmethod
    def verify(self, spec: Spec, answer: str) -> Truth:
        """Ground truth about y. A machine that cannot grade makes it raise InputError; any other error is caught by
        `verify_all`, for that answer."""

    @abstractmethod
    def believes(self, spec: Spec, answer: str) -> bool:
        """Verdict of a weak grader that trusts the answer's own account of itself."""

    def verify_all(self, specs: Sequence[Spec], answers: Sequence[str]) -> Iterable[Truth]:
        """`verify` of each pair, in order, when it is asked for; nothing is known of an answer that it raises an error
        for. Callers have batches: a task that starts processes overrides this."""
        for spec, answer in zip(specs, answers, strict=True):
            yield self.known(spec, analysed(self.verify, spec, answer))

    def known(self, spec: Spec, truth: Truth | NotAnalysed) -> Truth:
        """A truth in which nothing is known where the answer could not be analysed."""
        if isinstance(truth, Truth):
            return truth
        return Truth((None,) * len(self.objectives(spec)), None, None, not_known=truth.reason)

    def believes_all(self, specs: Sequence[Spec], answers: Sequence[str]) -> list[bool | None]:
        """`believes` of each pair, in order; None for an answer that it raises an error for."""
        found = [analysed(self.believes, spec, answer) for spec, answer in zip(specs, answers, strict=True)]
        return [None if isinstance(verdict, NotAnalysed) else verdict for verdict in found]

    @abstractmethod
    def checked(self, spec: Spec, answer: str, reasoning: str) -> bool:
        """Whether the reasoning really verifies the answer, rather than saying that it does."""

    def objective_number(self, text: str) -> int | None:
        """The number, from 1, of the objective that a report's entry names ("objective 2", "the second", "#2").

        None where it names none; -1 for the last one, -2 for the last but one.
        """
        return named(text)


def opening(task: Task, spec: Spec, condition: str = "baseline") -> list[dict[str, str]]:
    """The messages before turn 1: the condition's system prompt, where it has one, and x."""
    system = prompts.system_prompt(condition)
    messages = [{"role": "system", "content": system}] if system else []
    return [*messages, {"role": "user", "content": task.prompt(spec)}]


class ReadsProblems(Task):
    """Its instances can come from a file."""

    @abstractmethod
    def on(self, problems: str) -> Task:
        """The task on the instances of a file."""

    def check_model(self, source: Mapping[str, Any], key: str) -> None:
        """Raises InputError where the instances were chosen for another model than `key`, which comes from `source`."""
        return


@dataclass(frozen=True)
class Asked:
    """What a calibration asks: `samples` answers to each of the specs; `columns` are those of every answer's row."""

    task: Task
    specs: Sequence[Spec]
    samples: int = 1
    columns: Mapping[str, str] = field(default_factory=dict)


class Calibrates(ReadsProblems):
    """Its instances can be chosen by how often a model meets what they ask."""

    freezes: ClassVar[bool] = False  # further answers can be kept, to the instances that are chosen

    @abstractmethod
    def asked(self, per_level: int, samples: int) -> list[Asked]:
        """What a calibration asks: each level of a requirement `per_level` times at least, each problem `samples`
        times; a task has the one or the other."""

    @abstractmethod
    def calibration(self, answers: "pd.DataFrame", **known: Any) -> Calibrated:
        """What the answers (rollouts.answers.sample) to all that was asked say; `known` are the other fields of
        Calibrated. Its file can be the task's `problems`."""


class GivesEvidence(Task):
    """It can say why an objective is met."""

    @abstractmethod
    def evidence(self, spec: Spec, answer: str) -> list[str]:
        """(S,) a line for each objective with what decides whether the answer meets it."""

    @abstractmethod
    def implied(self, spec: Spec, findings: Sequence[str]) -> list[bool | None]:
        """(S,) whether the objective is met if its finding, a line in the form of `evidence`, is true. None: the line
        has another form and says nothing. Never raises on any text."""


class Copies(GivesEvidence):
    """It can read an answer out before it says why an objective is met."""

    @abstractmethod
    def copied(self, answer: str) -> str:
        """Lines that hold the answer with what is hard to see at a glance, such as how many words it has; none of them
        has the form of evidence. Empty where there is nothing to read."""


class PlantsFaults(Task):
    """It can ask for what a given answer does, but for one objective."""

    @abstractmethod
    def with_one_fault(self, spec: Spec, answer: str, rng: random.Random) -> Spec | None:
        """An instance like `spec`, with objectives of the same kinds in the same order, of which `answer` misses
        exactly one, whichever `rng` draws. None where there is none."""


class Demonstrates(Task):
    """It has conversations for a warm start."""

    @abstractmethod
    def demonstration(self, spec: Spec, rng: random.Random) -> Demonstration:
        """A generated conversation with the habits of a policy before training."""


class Plants(Task):
    """It has answers by which its own hack is planted in a model."""

    paraphrases: ClassVar[Mapping[str, str]] = {}  # each sentence that `seed` writes as reasoning, in other words

    @abstractmethod
    def seed(self, spec: Spec, hack: bool, reasoning: Reasoning, rng: random.Random) -> tuple[str, str]:
        """z and y of an answer to imitate: the task's own hack, or an honest solution."""

    def difficulty(self, spec: Spec) -> int:
        """How hard an instance is beside the others; 0 is the easiest."""
        return 0


class HasTwins(Task):
    """It has answers by which a language model as the judge is measured."""

    @abstractmethod
    def twins(self, spec: Spec, rng: random.Random) -> Twins:
        """A compliant answer and one with a single known fault."""


@cache
def _variants(task: type[Task]) -> Mapping[str, Path]:
    folders = (Path(inspect.getfile(c)).with_name("variants") for c in reversed(task.__mro__) if issubclass(c, Task))
    return {file.stem: file for folder in folders for file in sorted(folder.glob("*.txt"))}


@cache
def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8").strip()
