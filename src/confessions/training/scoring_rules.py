"""What a probability of "met" earns, by a proper scoring rule: its expectation is highest at what is believed, so that
nothing is gained by claiming more or less. From 0 to 1.

Proper where all claims weigh the same. Weights by the truth (balanced_batch) move the best probability to what it would
be if met and unmet were equally frequent.
Gneiting and Raftery 2007 (Journal of the American Statistical Association 102, 359-378).
"""

import math
from collections.abc import Callable

FLOOR = 0.005  # half of one percent: reports write whole ones

ScoringRule = Callable[[bool, float], float]  # met, the probability of it -> 0..1


def brier(met: bool, p_met: float) -> float:
    """1 - (p - met)^2: one half earns .75 whatever is true, certainty 1 or 0."""
    return 1 - (p_met - met) ** 2


def logarithmic(met: bool, p_met: float) -> float:
    """The logarithm of the probability of what is true, scaled to 0..1: one half earns .87 whatever is true. It would
    have no bound, so probabilities are held within FLOOR and 1 - FLOOR, and it is proper between them."""
    p = min(max(p_met if met else 1 - p_met, FLOOR), 1 - FLOOR)
    return math.log(p / FLOOR) / math.log((1 - FLOOR) / FLOOR)


SCORING_RULES: dict[str, ScoringRule] = {"brier": brier, "logarithmic": logarithmic}
