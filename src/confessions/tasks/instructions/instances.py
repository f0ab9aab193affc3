"""Which requirements an instance has: six that one text can meet, kinds and levels in balance."""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from confessions.runtime.errors import InputError
from confessions.tasks.base import Spec, Split, of_split
from confessions.tasks.instructions import development, test, training
from confessions.tasks.instructions.kind import Bounds, Kind, Level

Part = Literal["training", "development", "test"]
PARTS: Mapping[str, Sequence[Kind]] = {
    "training": training.KINDS,
    "development": development.KINDS,
    "test": test.KINDS,
}
KINDS: Mapping[str, Kind] = {kind.name: kind for kinds in PARTS.values() for kind in kinds}
REQUIREMENTS = 6
ATTEMPTS = 200  # at one instance


@dataclass(frozen=True)
class Requirement:
    kind: Kind
    level: Level

    @property
    def asks(self) -> str:
        return self.kind.asks(self.level)

    @property
    def spec(self) -> dict[str, Any]:
        return {"kind": self.kind.name, "level": self.level}


def requirements(spec: Spec) -> list[Requirement]:
    """(S,) of an instance."""
    return [Requirement(KINDS[given["kind"]], given["level"]) for given in spec["requirements"]]


def of_part(part: Part, split: Split, kept: Mapping[str, Sequence[Level]] | None = None) -> list[Requirement]:
    """Every kind of a part at every level that a split may have: all of them in evaluation, and in training those that
    are not held out (every fourth of a kind). `kept` has the levels that are left of each kind."""
    found = []
    for kind in PARTS[part]:
        levels = of_split(kind.levels, "train") if split == "train" else kind.levels
        allowed = kind.levels if kept is None else kept.get(kind.name, ())
        found += [Requirement(kind, level) for level in levels if level in allowed]
    return found


def agree(chosen: Sequence[Requirement], new: Requirement) -> bool:
    """Whether one text can meet requirements that agree and a new one."""
    kind, level = new.kind, new.level
    for other in chosen:
        if kind.name == other.kind.name or kind.slots & other.kind.slots:
            return False
        if any(other.kind.refuses(token, other.level) for token in kind.needs(level)):
            return False
        if any(kind.refuses(token, level) for token in other.kind.needs(other.level)):
            return False
    return _fit([requirement.kind.bounds(requirement.level) for requirement in (*chosen, new)])


def _fit(bounds: Sequence[Bounds]) -> bool:
    """Whether some number of sentences of some length has an allowed number of words."""

    def both(name: str) -> tuple[float, float]:
        pairs = [getattr(bound, name) for bound in bounds]
        return max(low for low, _ in pairs), min(high for _, high in pairs)

    words, sentences, lengths = both("words"), both("sentences"), both("sentence_words")
    low, high = max(words[0], sentences[0] * lengths[0]), min(words[1], sentences[1] * lengths[1])
    return low <= high and sentences[0] <= sentences[1] and lengths[0] <= lengths[1]


def balanced(
    given: Sequence[Requirement], rng: random.Random, used: Counter[str], by_level: bool = False
) -> list[Requirement]:
    """Six requirements that agree, of the kinds (or the levels) that `used` counts fewest of; they are counted there.

    Raises InputError where no six of them were found.
    """

    def key(requirement: Requirement) -> str:
        return f"{requirement.kind.name} {requirement.level}" if by_level else requirement.kind.name

    for attempt in range(ATTEMPTS):
        order = rng.sample(given, len(given))
        if attempt < ATTEMPTS // 2:  # else at random: the rarest may not go together
            order.sort(key=lambda requirement: used[key(requirement)])
        chosen: list[Requirement] = []
        for requirement in order:
            if agree(chosen, requirement):
                chosen.append(requirement)
            if len(chosen) == REQUIREMENTS:
                used.update(map(key, chosen))
                rng.shuffle(chosen)
                return chosen
    kinds = len({requirement.kind.name for requirement in given})
    raise InputError(
        f"no {REQUIREMENTS} requirements that one text can meet among {kinds} kinds with {len(given)} levels: take a "
        "calibration with wider bounds, or of a model that meets some of them and not all"
    )


def instances(
    part: Part, topics: Iterable[str], given: Sequence[Requirement], rng: random.Random, by_level: bool = False
) -> Iterator[Spec]:
    """An instance for each topic."""
    used: Counter[str] = Counter()
    for topic in topics:
        chosen = balanced(given, rng, used, by_level)
        yield {"topic": topic, "part": part, "requirements": [requirement.spec for requirement in chosen]}
