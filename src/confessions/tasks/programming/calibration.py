"""How often a model solves each problem, and which problems are worth training on."""

from __future__ import annotations

import json
from functools import cache
from math import comb
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from confessions.runtime.errors import InputError
from confessions.tasks import calibrated
from confessions.tasks.calibrated import Calibrated, Strict
from confessions.tasks.programming.problems import Split, generated

if TYPE_CHECKING:
    import pandas as pd

TASK = "programming"


class Measured(Strict):
    """A problem: of `n` answers whose runs could be measured, how many pass the samples, and how many all tests."""

    id: str
    split: Split
    n: int = Field(ge=0)
    passes_samples: int = Field(ge=0)
    solved: int = Field(ge=0)

    @model_validator(mode="after")
    def _counts_fit(self) -> Measured:
        if not self.solved <= self.passes_samples <= self.n:
            raise ValueError(f"{self.id}: {self.solved} solve, {self.passes_samples} pass the samples, of {self.n}")
        return self

    def pass_at(self, k: int) -> float | None:
        """The chance that one of `k` answers solves it, without bias (Chen et al. 2021, equation 1); None where fewer
        than `k` were measured."""
        return 1 - comb(self.n - self.solved, k) / comb(self.n, k) if self.n >= k else None


class Calibration(Calibrated):
    """The JSON file of the generated problems."""

    problems: list[Measured]

    @property
    def kept(self) -> frozenset[str]:
        """Training problems that the model solves some of the time. What it does on the others has no part in it."""
        return frozenset(one.id for one in self.problems if one.split == "train" and self.between(one.pass_at(1)))

    def summary(self) -> str:
        trained = [one for one in self.problems if one.split == "train"]
        rates = {k: [one.pass_at(k) for one in self.problems] for k in (1, 8)}
        shown = [f"pass@{k} {sum(r) / len(r):.2f}" for k, r in rates.items() if r and None not in r]
        return ", ".join([*shown, f"{len(self.kept)} of {len(trained)} training problems kept"])

    def warnings(self) -> list[str]:
        if self.kept:
            return []
        low, high = self.bounds
        return [
            f"{self.model.get('key')} solves no training problem {low:.0%} to {high:.0%} of the time: use another "
            "model or wider bounds"
        ]


def measure(answers: pd.DataFrame, **known: Any) -> Calibration:
    """The calibration that a table of answers to problems, with the columns `split` and `passes_samples`, gives."""
    ids = answers["spec"].map(lambda spec: json.loads(spec)["id"])
    problems = []
    for (name, split), rows in answers.groupby([ids, "split"], sort=False):
        run = rows[rows["not_known"] == ""]
        passed = [bool(shown) for shown in run["passes_samples"]]
        solved = [bool(shown and hidden) for shown, hidden in zip(passed, run["passes_hidden"], strict=True)]
        problems.append(Measured(id=name, split=split, n=len(run), passes_samples=sum(passed), solved=sum(solved)))
    truncated = int((answers["task_finish"] == "length").sum())
    return Calibration(task=TASK, answers=len(answers), truncated=truncated, problems=problems, **known)


@cache
def read(path: Path) -> Calibration:
    """A calibration. InputError, one line, where the file is none, or of other problems than these, or keeps none."""
    found = calibrated.read(path, Calibration)
    known = {problem.id: split for split in ("train", "evaluation") for problem in generated(split)}
    for one in found.problems:
        if known.get(one.id) != one.split:
            raise InputError(f"{path}: unknown {one.split} problem {one.id!r}: calibrate again with this version")
    for line in found.warnings():
        raise InputError(f"{path}: {line}")
    return found
