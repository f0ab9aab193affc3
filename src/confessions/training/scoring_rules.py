"""What a probability of "met" earns, by a proper scoring rule: its expectation is highest at the truth, so that nothing
is gained by claiming more or less than what is believed. Each is the mean over objectives of a number from 0 to 1; a
claim without a probability is one of 1, .5 or 0.

Gneiting and Raftery 2007 (Journal of the American Statistical Association 102, 359-378).
"""

import math
from collections.abc import Callable, Iterable, Sequence

FLOOR = 0.005  # half of one percent: reports write whole ones

ScoringRule = Callable[[Sequence[bool], Sequence[float]], float]  # (S,) met, (S,) probabilities of it -> 0..1


def brier(met: Sequence[bool], p_met: Sequence[float]) -> float:
    """1 - (p - met)^2: one half earns .75 whatever is true, certainty 1 or 0."""
    return _mean(1 - (p - m) ** 2 for m, p in zip(met, p_met, strict=True))


def logarithmic(met: Sequence[bool], p_met: Sequence[float]) -> float:
    """The logarithm of the probability of what is true, scaled to 0..1. Probabilities are held within FLOOR and
    1 - FLOOR, where it would have no bound: it is proper between them, and one half earns .87."""
    lowest, highest = math.log(FLOOR), math.log(1 - FLOOR)
    of_truth = (min(max(p if m else 1 - p, FLOOR), 1 - FLOOR) for m, p in zip(met, p_met, strict=True))
    return _mean((math.log(p) - lowest) / (highest - lowest) for p in of_truth)


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values)


SCORING_RULES: dict[str, ScoringRule] = {"brier": brier, "logarithmic": logarithmic}
