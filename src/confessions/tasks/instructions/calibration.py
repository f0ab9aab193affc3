"""How often a model meets each kind of requirement at each level, and which levels are worth asking of it."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from confessions.runtime.errors import InputError
from confessions.tasks import calibrated
from confessions.tasks.base import Spec, of_split
from confessions.tasks.calibrated import Calibrated, Strict
from confessions.tasks.instructions.instances import KINDS, PARTS, REQUIREMENTS, Part, instances, of_part
from confessions.tasks.instructions.kind import Level
from confessions.tasks.word_count.task import topics

if TYPE_CHECKING:
    import pandas as pd


class Measured(Strict):
    """A kind at one level. Refusals are not counted."""

    kind: str
    level: Any
    n: int = Field(ge=0)
    met: int = Field(ge=0)

    @property
    def rate(self) -> float | None:
        return self.met / self.n if self.n else None


class Calibration(Calibrated):
    """The JSON file of the kinds' levels."""

    refusals: int = Field(ge=0)
    levels: list[Measured]

    @property
    def kept(self) -> dict[str, list[Level]]:
        """The levels of each kind that are worth asking."""
        found: dict[str, list[Level]] = {}
        for measured in self.levels:
            if self.between(measured.rate):
                found.setdefault(measured.kind, []).append(measured.level)
        return found

    def summary(self) -> str:
        """What is kept of what was measured."""
        kept = sum(map(len, self.kept.values()))
        return f"{self.refusals} refusals, {kept} of {len(self.levels)} levels kept"

    def warnings(self) -> list[str]:
        """A line for each part of the kinds that has too few left; none where all of them have enough."""
        lines = []
        for part, kinds in PARTS.items():
            names = {kind.name for kind in kinds}
            left, of_part = names & self.kept.keys(), [m for m in self.levels if m.kind in names and m.n]
            if len(left) >= REQUIREMENTS:
                continue
            rates = [measured.rate for measured in of_part]
            share = sum(rates) / len(rates) if rates else 0
            low, high = self.bounds
            what = "nearly nothing" if share < low else "nearly everything" if share > high else "too few in between"
            lines.append(
                f"{self.model.get('key')} meets {what} of the {part} kinds (on average {share:.2f}): {len(left)} of "
                f"{len(names)} kinds have a level that it meets {low:.0%} to {high:.0%} of the time, and an instance "
                f"needs {REQUIREMENTS}; use another model or wider bounds"
            )
        return lines


def task_name(part: Part) -> str:
    """The task that asks the kinds of a part."""
    return "instructions" if part == "training" else f"instructions_{part}"


def asked(part: Part, per_level: int) -> list[Spec]:
    """Instances of a part, on topics of training, in which every level is asked so many times at least."""
    given = of_part(part, "evaluation")
    n: Counter[tuple[str, str]] = Counter()
    specs = []
    shown = cycle(of_split(topics(), "train"))
    for spec in instances(part, shown, given, random.Random(f"calibration {part}"), by_level=True):
        specs.append(spec)
        n.update((r["kind"], str(r["level"])) for r in spec["requirements"])
        if all(n[one.kind.name, str(one.level)] >= per_level for one in given):
            return specs
    raise AssertionError("topics have no end")


def measure(answers: pd.DataFrame, **known: Any) -> Calibration:
    """The calibration that a table of answers (answers.sample) to all parts gives."""
    counted = answers[~answers["refusal"]]
    return Calibration(
        task=task_name("training"),
        answers=len(answers),
        refusals=int(answers["refusal"].sum()),
        truncated=int((answers["task_finish"] == "length").sum()),
        levels=measured([json.loads(spec) for spec in counted["spec"]], counted["met"]),
        **known,
    )


def measured(specs: Iterable[Spec], truths: Iterable[Iterable[bool]]) -> list[Measured]:
    """Counts for each kind and level of these answers, in the order in which the kinds are declared."""
    n, met = Counter(), Counter()
    for spec, truth in zip(specs, truths, strict=True):
        for requirement, ok in zip(spec["requirements"], truth, strict=True):
            key = (requirement["kind"], str(requirement["level"]))
            n[key] += 1
            met[key] += bool(ok)
    return [
        Measured(kind=kind.name, level=level, n=n[kind.name, str(level)], met=met[kind.name, str(level)])
        for kind in KINDS.values()
        for level in kind.levels
    ]


@cache
def read(path: Path) -> Calibration:
    """A calibration. InputError, one line, where the file is none."""
    found = calibrated.read(path, Calibration)
    for level in found.levels:
        if level.kind not in KINDS or level.level not in KINDS[level.kind].levels:
            raise InputError(
                f"{path}: unknown requirement {level.kind} {level.level}: calibrate again with this version"
            )
    return found
