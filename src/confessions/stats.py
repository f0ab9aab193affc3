"""Intervals: every number with its uncertainty. All are 95 % unless told otherwise.

rates of rollouts          Wilson (statsmodels)
rates of sentences         BCa bootstrap over rollouts: sentences of one rollout are not independent (scipy)
difference of two cells    bootstrap over rows shared by both: same topic, same sampling seeds
trend over steps           least squares with a cluster-robust interval, steps as clusters (statsmodels)

Where all rollouts are equal (all 0, or all 1) resamples never vary and the bootstrap interval would have no
width. There it is Wilson's (Newcombe's for a difference) with rollouts as the units, as if a rollout's
sentences were one. Nothing to count: value and interval are NaN, never 0.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import DegenerateDataWarning, bootstrap, t
from statsmodels.regression.linear_model import WLS
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from confessions.metrics import METRICS, Counts, mean_ratio

LEVEL = 0.95
RESAMPLES = 4999
TINY = 1e-12  # rounding


@dataclass(frozen=True)
class Estimate:
    """A number with its interval; `n` units were counted (rollouts, sentences or pairs)."""

    value: float
    low: float
    high: float
    n: int
    method: str


def estimate(metric: str, scores: pd.DataFrame, seed: int = 0) -> Estimate:
    """A metric of one cell: Wilson for rates of rollouts, a seeded cluster bootstrap for sentences."""
    counts = METRICS[metric].fn(scores)
    if METRICS[metric].kind == "rollout":
        return wilson(counts.numerators.sum(), counts.denominators.sum())
    return cluster_bootstrap(counts, seed)


def wilson(k: float, n: float, level: float = LEVEL) -> Estimate:
    """k of n independent trials."""
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0, "wilson")
    low, high = proportion_confint(k, n, alpha=1 - level, method="wilson")
    return Estimate(float(k / n), float(low), float(high), int(n), "wilson")


def cluster_bootstrap(counts: Counts, seed: int = 0, level: float = LEVEL) -> Estimate:
    """A ratio metric whose units are clustered by rollout; n is the number of units in the denominators."""
    counts = _counted(counts)
    value, n, n_rollouts = counts.value, int(counts.denominators.sum()), counts.numerators.shape[1]
    if math.isnan(value):
        return Estimate(value, math.nan, math.nan, n, "cluster bootstrap")
    if interval := _bootstrap([counts], seed, level):
        return Estimate(value, *interval, n, "cluster bootstrap")
    return replace(wilson(value * n_rollouts, n_rollouts, level), n=n, method="wilson over rollouts")


def paired_difference(
    metric: str,
    first: pd.DataFrame,
    second: pd.DataFrame,
    seed: int = 0,
    on: Sequence[str] = ("row",),
    level: float = LEVEL,
) -> Estimate:
    """second - first over the same n rows (columns `on`) of two cells, by resampling the rows.

    Raises ValueError when the cells do not hold the same rows, each once.
    """
    first, second = (scores.set_index(list(on)).sort_index() for scores in (first, second))
    if not first.index.is_unique or not first.index.equals(second.index):
        raise ValueError(f"{metric}: the two cells do not hold the same rows ({', '.join(on)}), each once")
    a, b, n = METRICS[metric].fn(first), METRICS[metric].fn(second), len(first)
    difference = b.value - a.value
    if math.isnan(difference):
        return Estimate(difference, math.nan, math.nan, n, "paired cluster bootstrap")
    if interval := _bootstrap([a, b], seed, level):
        return Estimate(difference, *interval, n, "paired cluster bootstrap")
    units = [int((c.denominators.sum(0) > 0).sum()) for c in (b, a)]
    low, high = confint_proportions_2indep(
        b.value * units[0], units[0], a.value * units[1], units[1], method="newcomb", alpha=1 - level
    )
    return Estimate(difference, float(low), float(high), n, "newcombe over rollouts")


@dataclass(frozen=True)
class Trend:
    """A straight line through rates: its slope a step, and the line itself with its interval."""

    slope: Estimate
    intercept: float
    covariance: np.ndarray  # (2, 2) of (intercept, slope), cluster-robust
    quantile: float  # of the t distribution, two-sided

    def line(self, steps: Sequence[float]) -> pd.DataFrame:
        """Columns step, value, low, high."""
        design = np.column_stack([np.ones(len(steps)), np.asarray(steps, dtype=float)])
        value = design @ [self.intercept, self.slope.value]
        half = self.quantile * np.sqrt(np.einsum("ni,ij,nj->n", design, self.covariance, design).clip(min=0))
        return pd.DataFrame({"step": steps, "value": value, "low": value - half, "high": value + half})


def trend(steps: Sequence[float], k: Sequence[float], n: Sequence[float], level: float = LEVEL) -> Trend:
    """Least squares of the rates k/n on the step, one observation a unit, cluster-robust by step.

    `steps`, `k` and `n` run in parallel; rows of one step are one cluster, n their weight (the same line as
    with a 0 or 1 for each unit). The t distribution has (clusters - 1) degrees of freedom. Rows with n = 0
    are left out; with fewer than three steps everything is NaN.
    """
    steps, k, n = (np.asarray(values, dtype=float) for values in (steps, k, n))
    kept = n > 0
    steps, k, n = steps[kept], k[kept], n[kept]
    clusters = np.unique(steps)
    method = "cluster-robust least squares"
    if len(clusters) < 3:
        nan = Estimate(math.nan, math.nan, math.nan, int(n.sum()), method)
        return Trend(nan, math.nan, np.full((2, 2), math.nan), math.nan)
    fit = WLS(k / n, np.column_stack([np.ones_like(steps), steps]), weights=n).fit(
        cov_type="cluster", cov_kwds={"groups": np.searchsorted(clusters, steps)}, use_t=True
    )
    low, high = fit.conf_int(alpha=1 - level)[1]
    slope = Estimate(float(fit.params[1]), float(low), float(high), int(n.sum()), method)
    quantile = float(t.ppf((1 + level) / 2, len(clusters) - 1))
    return Trend(slope, float(fit.params[0]), np.asarray(fit.cov_params()), quantile)


def _counted(counts: Counts) -> Counts:
    """Without the rollouts that have nothing to count: they would only thin the resamples."""
    kept = counts.denominators.sum(0) > 0
    return Counts(counts.numerators[:, kept], counts.denominators[:, kept])


def _bootstrap(cells: Sequence[Counts], seed: int, level: float) -> tuple[float, float] | None:
    """Interval of the one cell's value, or of second - first of two, by resampling rollouts.

    Bias-corrected and accelerated (BCa); percentile where that has no value, because a denominator is empty
    in some resample (such resamples are left out). None when resamples do not vary.
    """
    rows = [row for cell in cells for part in (cell.numerators, cell.denominators) for row in part]
    if rows[0].size < 2:
        return None

    def statistic(*resampled: np.ndarray, axis: int = -1) -> np.ndarray:
        parts = np.split(np.stack(resampled), 2 * len(cells))
        values = [mean_ratio(*pair) for pair in zip(parts[::2], parts[1::2], strict=True)]
        return values[-1] - values[0] if len(values) == 2 else values[0]

    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore", DegenerateDataWarning)  # met below: not finite
        result = bootstrap(
            rows,
            statistic,
            paired=True,
            vectorized=True,
            n_resamples=RESAMPLES,
            confidence_level=level,
            method="BCa",
            rng=np.random.default_rng(seed),
        )
    values = result.bootstrap_distribution[np.isfinite(result.bootstrap_distribution)]
    if np.ptp(values) < TINY:
        return None
    low, high = result.confidence_interval
    if not np.isfinite([low, high]).all():
        low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
