"""What a metric is made of: numbers of each cluster, and a function of their sums over clusters.

Resampling clusters weighs the sums anew, whatever the function: so one mechanism (stats.py) makes every interval.
K = ratios or parts, R = clusters, C = columns that are summed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Counts:
    """The mean of K ratios of sums."""

    numerators: np.ndarray  # (K, R) float
    denominators: np.ndarray  # (K, R) float
    clusters: str = "rollouts"  # what they are
    varies = True

    @property
    def value(self) -> float:
        """Mean over K of sum of numerators / sum of denominators; NaN when a denominator is empty."""
        return float(mean_ratio(self.numerators, self.denominators))

    @property
    def n(self) -> int:
        """How many are counted."""
        return int(self.denominators.sum())

    @property
    def columns(self) -> np.ndarray:
        """(R, 2 K) what is summed."""
        return np.concatenate([self.numerators, self.denominators]).T

    def of(self, sums: np.ndarray) -> np.ndarray:
        """(..., 2 K) sums of the columns -> (...) values."""
        return mean_ratio(*np.split(np.moveaxis(sums, -1, 0)[..., None], 2))

    def only(self, kept: np.ndarray) -> "Counts":
        """The same of those clusters where `kept` (R,) is true."""
        return replace(self, numerators=self.numerators[:, kept], denominators=self.denominators[:, kept])

    def by_instance(self, instance: np.ndarray) -> "Counts":
        """The same with instances as clusters, in the order of their names, of which `instance` (R,) has each
        rollout's."""
        names, which = np.unique(instance, return_inverse=True)
        summed = (
            np.stack([np.bincount(which, row, len(names)) for row in rows])
            for rows in (self.numerators, self.denominators)
        )
        return Counts(*summed, clusters="instances")

    @property
    def counted(self) -> np.ndarray:
        """(R,) whether a cluster holds anything to count."""
        return self.denominators.sum(0) > 0


@dataclass(frozen=True)
class Sums:
    """The mean over K parts of any function of sums."""

    parts: tuple[np.ndarray, ...]  # K arrays (R, C), each with columns of its own
    function: Callable[[np.ndarray], np.ndarray]  # (..., C) sums of a part -> (...)
    n: int  # how many are counted
    trials: float = math.nan  # where the value is a share: how many independent trials it is worth, at the least
    varies: bool = True  # False: a plain fact of the cell, without an interval
    clusters: str = "instances"

    @property
    def value(self) -> float:
        return float(self.of(self.columns.sum(0)))

    @property
    def columns(self) -> np.ndarray:
        """(R, C of all parts) what is summed."""
        return np.concatenate(self.parts, axis=1)

    def of(self, sums: np.ndarray) -> np.ndarray:
        """(..., C of all parts) sums of the columns -> (...) values; NaN where the function has none."""
        ends = np.cumsum([part.shape[1] for part in self.parts])[:-1]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.mean([self.function(part) for part in np.split(sums, ends, axis=-1)], axis=0)

    def only(self, kept: np.ndarray) -> "Sums":
        """The same of those clusters where `kept` (R,) is true."""
        return replace(self, parts=tuple(part[kept] for part in self.parts))

    @property
    def counted(self) -> np.ndarray:
        """(R,) whether a cluster holds anything to count."""
        return (self.columns != 0).any(1)


Statistic = Counts | Sums


def area(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """The area under the ROC curve, P(a positive has a higher value than a negative), ties half, of how many have each
    of U values in ascending order: (..., U) twice -> (...). NaN where one of the classes is empty."""
    below = negative.cumsum(-1) - negative / 2
    with np.errstate(invalid="ignore"):
        return (positive * below).sum(-1) / (positive.sum(-1) * negative.sum(-1))


def mean_ratio(numerators: np.ndarray, denominators: np.ndarray) -> np.ndarray:
    """(K, ..., R) arrays -> (...): ratio of the sums over R, then mean over K."""
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN, as it should be
        return (numerators.sum(-1) / denominators.sum(-1)).mean(0)
