"""Intervals: every number with its uncertainty. All are 95 % unless told otherwise.

rates of rollouts          Wilson (statsmodels)
rates of sentences         bootstrap over rollouts: sentences of one rollout are not independent (scipy)
difference of two cells    bootstrap over rows shared by both: same topic, same sampling seeds
trend over steps           least squares with a cluster-robust interval, steps as clusters (statsmodels)

A resample of equal rollouts (all 0, or all 1) never varies; a bootstrap interval would have no width. There the interval is
Wilson's (Newcombe's for a difference) with rollouts as the units, as if the sentences of a rollout said it once.
Nothing to count: value and interval are NaN, never 0.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy.stats import bootstrap, t
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from confessions.metrics import METRICS, Counts, mean_ratio

LEVEL = 0.95
RESAMPLES = 4999


@dataclass(frozen=True)
class Estimate:
    """A number with its interval. `n`: the units counted (rollouts, sentences or pairs); `method`: how the interval was made."""

    value: float
    low: float
    high: float
    n: int
    method: str


def estimate(metric: str, scores: pd.DataFrame, seed: int = 0) -> Estimate:
    """A metric of one cell. Wilson for rates of rollouts, cluster bootstrap (with this seed) for rates of sentences."""
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
    """A ratio metric whose units are clustered by rollout: percentile bootstrap over rollouts.

    n is the number of units in the denominators. A resample in which a denominator is empty is left out.
    """
    counts = _counted(counts)
    value, n = counts.value, int(counts.denominators.sum())
    if math.isnan(value):
        return Estimate(value, math.nan, math.nan, n, "cluster bootstrap")
    distribution = _resample(counts.numerators, counts.denominators, seed=seed)
    if np.ptp(distribution) == 0:
        n_rollouts = counts.numerators.shape[1]
        return Estimate(value, *_bounds(wilson(value * n_rollouts, n_rollouts, level)), n, "wilson over rollouts")
    return Estimate(value, *_quantiles(distribution, level), n, "cluster bootstrap")


def paired_difference(
    metric: str,
    first: pd.DataFrame,
    second: pd.DataFrame,
    seed: int = 0,
    on: Sequence[str] = ("row",),
    level: float = LEVEL,
) -> Estimate:
    """second - first, over the same rows (columns `on`) of two cells: percentile bootstrap over the rows. n is their number.

    Raises ValueError when the cells do not hold the same rows, each once.
    """
    first, second = (scores.set_index(list(on)).sort_index() for scores in (first, second))
    if not first.index.is_unique or not first.index.equals(second.index):
        raise ValueError(f"{metric}: the two cells do not hold the same rows ({', '.join(on)}), each once")
    a, b, n = METRICS[metric].fn(first), METRICS[metric].fn(second), len(first)
    difference = b.value - a.value
    if math.isnan(difference):
        return Estimate(difference, math.nan, math.nan, n, "paired cluster bootstrap")
    distribution = _resample(a.numerators, a.denominators, b.numerators, b.denominators, seed=seed)
    if np.ptp(distribution) == 0:
        units = [int((c.denominators.sum(0) > 0).sum()) for c in (b, a)]
        interval = confint_proportions_2indep(
            b.value * units[0], units[0], a.value * units[1], units[1], method="newcomb", alpha=1 - level
        )
        return Estimate(difference, float(interval[0]), float(interval[1]), n, "newcombe over rollouts")
    return Estimate(difference, *_quantiles(distribution, level), n, "paired cluster bootstrap")


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

    `steps`, `k` and `n` run in parallel; rows of one step are one cluster, with n as weights (k of n units, as a row each,
    give the same line). The t distribution has (clusters - 1) degrees of freedom. Rows with n = 0 are left out; with fewer than
    three steps everything is NaN.
    """
    steps, k, n = (np.asarray(values, dtype=float) for values in (steps, k, n))
    kept = n > 0
    steps, k, n = steps[kept], k[kept], n[kept]
    clusters = np.unique(steps)
    method = "least squares, cluster-robust by step"
    if len(clusters) < 3:
        nan = Estimate(math.nan, math.nan, math.nan, int(n.sum()), method)
        return Trend(nan, math.nan, np.full((2, 2), math.nan), math.nan)
    fit = sm.WLS(k / n, sm.add_constant(steps), weights=n).fit(
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


def _resample(*parts: np.ndarray, seed: int) -> np.ndarray:
    """Resampled values of numerators, denominators (each (K, R)) or, given two such pairs, of their difference."""

    def statistic(*rows: np.ndarray, axis: int = -1) -> np.ndarray:
        stacks = np.split(np.stack(rows), len(parts))
        values = [mean_ratio(top, under) for top, under in zip(stacks[::2], stacks[1::2], strict=True)]
        return values[0] if len(values) == 1 else values[1] - values[0]

    rows = [row for part in parts for row in part]
    if rows[0].size < 2:
        return np.zeros(1)  # one rollout cannot be resampled
    result = bootstrap(
        rows, statistic, paired=True, vectorized=True, axis=-1, n_resamples=RESAMPLES, method="percentile",
        rng=np.random.default_rng(seed),
    )  # fmt: skip
    return result.bootstrap_distribution[np.isfinite(result.bootstrap_distribution)]


def _quantiles(distribution: np.ndarray, level: float) -> tuple[float, float]:
    low, high = np.quantile(distribution, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _bounds(interval: Estimate) -> tuple[float, float]:
    return interval.low, interval.high
