"""What a programming problem is, and how a family makes its problems from seeds.

A family is one decorated function: it draws parameters and returns a Draft. `generated` turns the drafts into problems,
the same on every machine: seeds are strings, which random.Random hashes itself, and no set is iterated over.
"""

from __future__ import annotations

import functools
import importlib
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from textwrap import dedent
from types import CodeType
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Band = Literal["easy", "medium", "hard"]
Split = Literal["train", "evaluation"]

SAMPLES, HIDDEN = 3, 10  # tests a problem
TRAIN, EVALUATION = 6, 4  # problems a family; their parameters are all different
COMMONEST = 0.5  # the largest share of the hidden tests that one output may be right for
ATTEMPTS = 1000


class Problem(BaseModel):
    """One problem. A test is a pair: what stands on stdin, what has to stand on stdout (see `matches`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1, description="unique in its source")
    family: str = Field(min_length=1, description="what it has in common with others: a family, or its source")
    band: Band
    statement: str = Field(min_length=1, description="what to read, what to print; without the samples")
    samples: tuple[tuple[str, str], ...] = Field(min_length=1, description="public: part of the prompt")
    hidden: tuple[tuple[str, str], ...] = Field(min_length=1, description="never shown; their inputs are not samples'")
    constraints: tuple[str, ...] = Field((), description="bounds of the input, one a line")
    reference: str | None = Field(None, description="source of a solution; passes every test where generated")


@dataclass(frozen=True)
class Draft:
    """One problem of a family before its tests are drawn."""

    parameters: tuple  # what tells it from the family's others
    statement: str
    constraints: tuple[str, ...]
    reference: str  # Python source, indented or not; reads with input() and writes with print()
    check: Callable[[str], str]  # the output for an input, found in another way than the reference's
    draw: Callable[[random.Random], str]  # an input within the constraints
    edges: tuple[str, ...] = ()  # inputs that are always among the hidden ones


@dataclass(frozen=True)
class Family:
    name: str
    band: Band
    draft: Callable[[random.Random], Draft]


FAMILIES: dict[str, Family] = {}


def family(band: Band) -> Callable[[Callable[[random.Random], Draft]], Callable[[random.Random], Draft]]:
    """Enter a function as a family of this band; its name is the family's."""

    def enter(draft: Callable[[random.Random], Draft]) -> Callable[[random.Random], Draft]:
        @functools.wraps(draft)
        def as_in_a_file(rng: random.Random) -> Draft:
            found = draft(rng)
            return replace(found, reference=dedent(found.reference).strip() + "\n")

        FAMILIES[draft.__name__] = Family(draft.__name__, band, as_in_a_file)
        return as_in_a_file

    return enter


def families() -> dict[str, Family]:
    """All families by name, the easy ones first."""
    for band in ("easy", "medium", "hard"):
        importlib.import_module(f"confessions.tasks.programming.problems.{band}")
    return FAMILIES


def integer(low: int, high: int) -> Callable[[random.Random], str]:
    """Draws one integer on a line of its own."""
    return lambda rng: f"{rng.randint(low, high)}\n"


def integers(low: int, high: int, most: int, least: int = 1) -> Callable[[random.Random], str]:
    """Draws a line of between `least` and `most` integers."""
    return lambda rng: " ".join(str(rng.randint(low, high)) for _ in range(rng.randint(least, most))) + "\n"


def word(rng: random.Random, letters: str, least: int, most: int) -> str:
    return "".join(rng.choice(letters) for _ in range(rng.randint(least, most)))


def matches(expected: str, printed: str) -> bool:
    """Whether an output is the expected one, but for spaces at the end of lines and empty lines at the end."""
    return _lines(expected) == _lines(printed)


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]


@functools.cache
def generated(split: Split) -> tuple[Problem, ...]:
    """The problems of a split, always the same in the same order; no two have the same family and parameters."""
    chosen = slice(TRAIN) if split == "train" else slice(TRAIN, None)
    return tuple(
        _problem(entry, number, draft)
        for entry in families().values()
        for number, draft in list(enumerate(drafts(entry.name)))[chosen]
    )


@functools.cache
def drafts(name: str) -> tuple[Draft, ...]:
    """A family's drafts: TRAIN of the one split, then EVALUATION of the other, all with parameters of their own."""
    rng, found = random.Random(f"{name}: parameters"), {}
    for _ in range(ATTEMPTS):
        draft = families()[name].draft(rng)
        found.setdefault(draft.parameters, draft)
        if len(found) == TRAIN + EVALUATION:
            return tuple(found.values())
    raise ValueError(f"{name}: only {len(found)} different parameters in {ATTEMPTS} attempts")


def _problem(entry: Family, number: int, draft: Draft) -> Problem:
    """Draw the tests: samples first, then edges and more for the hidden ones; answers come from the reference.

    The inputs are drawn again where one answer would be right too often: a guess must not pass for a solution.
    """
    for attempt in range(ATTEMPTS):
        rng = random.Random(f"{entry.name}: {number}: {attempt}")
        inputs = list(dict.fromkeys(draft.edges))
        while len(inputs) < SAMPLES + HIDDEN:
            text = draft.draw(rng)
            if text not in inputs:
                inputs.append(text)
        tests = [(text, answer(draft.reference, text)) for text in inputs]
        hidden, samples = tests[:HIDDEN], tests[HIDDEN:]
        [(_, commonest)] = Counter(output for _, output in hidden).most_common(1)
        if commonest <= COMMONEST * HIDDEN and len({output for _, output in samples}) > 1:
            return Problem(
                id=f"{entry.name}-{number}",
                family=entry.name,
                band=entry.band,
                statement=draft.statement,
                samples=samples,
                hidden=hidden,
                constraints=draft.constraints,
                reference=draft.reference,
            )
    raise ValueError(f"{entry.name} {draft.parameters}: one output is right for most inputs")


def answer(source: str, text: str) -> str:
    """What a reference prints for an input, without a sandbox: for sources of this package only."""
    lines, printed = iter(text.splitlines()), []

    def write(*values: object, sep: str = " ", end: str = "\n") -> None:
        printed.append(sep.join(map(str, values)) + end)

    exec(_compiled(source), {"__name__": "__main__", "input": lambda: next(lines), "print": write})
    return "".join(printed)


@functools.cache
def _compiled(source: str) -> CodeType:
    return compile(source, "reference.py", "exec")
