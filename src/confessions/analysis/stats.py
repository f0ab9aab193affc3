"""Intervals: every number with its uncertainty. All are 95 % unless told otherwise.

rates of rollouts          Wilson (statsmodels)
rates of objectives        BCa bootstrap over rollouts: objectives of one rollout are not independent (scipy)
self-knowledge             the same over instances, which several answers may share; also of what is no rate
differences and slopes     over the rows that cells share: least squares, cluster-robust by row, t (statsmodels)
differences of no rates    jackknife over the instances that cells share, t
share that went away       BCa bootstrap over the rows that two cells share (scipy)
area under the ROC curve   BCa bootstrap within each of the two classes (scipy)
trend of a training log    least squares on the step, one rate a step, cluster-robust (HC3), t (statsmodels)

Resampling has nothing to go on where hardly a rollout differs from the others. There the interval is made of Wilson's
with rollouts as the units, as if a rollout's objectives were one. How often each interval covers the truth, and why it
was chosen: docs/statistics.md. Nothing to count: value and interval are NaN and n is 0, never a value of 0.
"""

import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import DegenerateDataWarning, bootstrap, chi2, t
from statsmodels.regression.linear_model import WLS
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from confessions.analysis.metrics import METRICS
from confessions.analysis.sums import Counts, Statistic, Sums, area

LEVEL = 0.95
CELLS = 2**24  # numbers of a table of resamples that are held at once
RESAMPLES = 4999
TINY = 1e-12  # rounding
EVENTS = 3  # fewer rollouts than this that hold an event (or a non-event): too few to resample
NO_VARIATION, FACT = "nothing to resample", "a fact of the cell"  # methods of what has no interval
PAIR = 2  # a mean of more ratios than these has many chances to vary: their events count together
UNITS = 32  # rollouts that a difference needs to bear so few events: their variance is then known well enough


@dataclass(frozen=True)
class Estimate:
    """A number with its interval; `n` units were counted (rollouts, objectives or pairs)."""

    value: float
    low: float
    high: float
    n: int
    method: str


def nothing(method: str) -> Estimate:
    """What is known where there is nothing to count."""
    return Estimate(math.nan, math.nan, math.nan, 0, method)


def estimate(metric: str, scores: pd.DataFrame, seed: int = 0) -> Estimate:
    """A metric of one cell: Wilson for rates of rollouts, a seeded cluster bootstrap for objectives."""
    return estimates({metric: METRICS[metric].fn(scores)}, seed)[metric]


def estimates(cell: Mapping[str, Statistic], seed: int = 0, level: float = LEVEL) -> dict[str, Estimate]:
    """Metrics of one cell, by name. Those over the same rollouts share resamples: 20 cost little more than one.

    Rates of rollouts get Wilson's interval, unless they are summed by instance (Counts.by_instance).
    """
    known = {
        name: wilson(counts.numerators.sum(), counts.denominators.sum(), level)
        for name, counts in cell.items()
        if METRICS[name].kind == "rollout" and counts.clusters == "rollouts"
    }
    objectives = [name for name in cell if name not in known]
    known |= zip(objectives, _cluster_bootstraps([cell[name] for name in objectives], seed, level), strict=True)
    return {name: known[name] for name in cell}


def wilson(k: float, n: float, level: float = LEVEL) -> Estimate:
    """k of n independent trials."""
    if n == 0:
        return nothing("wilson")
    low, high = proportion_confint(k, n, alpha=1 - level, method="wilson")
    return Estimate(float(k / n), float(low), float(high), int(n), "wilson")


def cluster_bootstrap(statistic: Statistic, seed: int = 0, level: float = LEVEL) -> Estimate:
    """A metric whose units are clustered; n is the number of units that are counted."""
    return _cluster_bootstraps([statistic], seed, level)[0]


def _cluster_bootstraps(cells: Sequence[Statistic], seed: int, level: float) -> list[Estimate]:
    """Each metric's interval. Clusters with nothing to count are left out: they would only thin the resamples."""
    counted = [c.counted for c in cells]
    cells = [c.only(kept) for c, kept in zip(cells, counted, strict=True)]
    usable = [not math.isnan(c.value) and _can_resample(c) for c in cells]
    limits = {}
    for mask in {kept.tobytes() for kept, ok in zip(counted, usable, strict=True) if ok}:
        which = [i for i, kept in enumerate(counted) if usable[i] and kept.tobytes() == mask]
        limits |= zip(which, _bca([cells[i] for i in which], seed, level), strict=True)
    return [_from_limits(c, limits.get(i), level) for i, c in enumerate(cells)]


def _can_resample(c: Statistic) -> bool:
    """Whether resamples can show how far the value goes."""
    if isinstance(c, Counts):
        return bool(_events(_judged(c)).min() >= EVENTS)
    return c.varies and len(c.counted) >= EVENTS and not c.trials < EVENTS


def _from_limits(c: Statistic, limits: np.ndarray | None, level: float) -> Estimate:
    if math.isnan(c.value):
        return nothing("cluster bootstrap")
    if limits is not None and np.isfinite(limits).all():
        return Estimate(c.value, *limits.tolist(), c.n, "cluster bootstrap")
    if isinstance(c, Counts) and len(c.numerators) <= PAIR:
        name = "wilson" if len(c.numerators) == 1 else "newcombe"
        return Estimate(c.value, *_square_and_add([c], [1.0], level), c.n, f"{name} over {c.clusters}")
    trials = _units(_judged(c)).item() if isinstance(c, Counts) else c.trials
    if math.isnan(trials):
        return Estimate(c.value, math.nan, math.nan, c.n, NO_VARIATION if c.varies else FACT)
    share = wilson(c.value * trials, trials, level)
    return Estimate(c.value, share.low, share.high, c.n, f"wilson over {c.clusters}")


def paired_difference(metric: str, first: pd.DataFrame, second: pd.DataFrame, on: Sequence[str] = ("row",)) -> Estimate:
    """second - first over the same n rows (columns `on`) of two cells.

    Raises ValueError when the cells do not hold the same rows, each once.
    """
    return paired_contrast(metric, [first, second], [-1.0, 1.0], on)


def paired_slope(metric: str, cells: Mapping[float, pd.DataFrame], on: Sequence[str] = ("row",)) -> Estimate:
    """Slope of the least-squares line through the values of a metric at several steps, over the same rows of each.

    Its interval says how well the rows know these checkpoints, not how far other checkpoints would lie off the line.
    """
    x = np.array(list(cells), dtype=float)
    off = x - x.mean()
    return paired_contrast(metric, list(cells.values()), (off / (off**2).sum()).tolist(), on)


def paired_contrast(
    metric: str, cells: Sequence[pd.DataFrame], weights: Sequence[float], on: Sequence[str] = ("row",)
) -> Estimate:
    """The sum of weight * value of a metric over cells that hold the same n rows (columns `on`), each once.

    Raises ValueError when they do not.
    """
    cells = [scores.set_index(list(on)).sort_index() for scores in cells]
    if not cells[0].index.is_unique or not all(cell.index.equals(cells[0].index) for cell in cells):
        raise ValueError(f"{metric}: the cells do not hold the same rows ({', '.join(on)}), each once")
    return contrast([METRICS[metric].fn(cell) for cell in cells], weights)


def contrast(
    cells: Sequence[Statistic],
    weights: Sequence[float],
    clusters: Sequence[np.ndarray] | None = None,
    level: float = LEVEL,
) -> Estimate:
    """The sum of weight * value over cells. `clusters` names the rollouts of each cell; by default all have the same.

    Least squares on a dummy for each cell gives the ratios, its cluster-robust covariance what they share; the t
    distribution has (clusters - 1) degrees of freedom. n is the number of clusters. What is no ratio has the
    jackknife's interval.
    """
    clusters = [np.arange(len(c.counted)) for c in cells] if clusters is None else clusters
    method, n = "cluster-robust t", len(np.unique(np.concatenate(clusters)))
    value = sum(weight * c.value for c, weight in zip(cells, weights, strict=True))
    if math.isnan(value):
        return nothing(method)
    if any(isinstance(c, Sums) for c in cells):
        return _jackknife(cells, weights, clusters, value, level)
    judged = [_judged(c) for c in cells]
    thin = any(((_events(c) < EVENTS) & (_units(c) < UNITS)).any() for c in judged)
    if not thin and (limits := _cluster_robust(cells, weights, clusters, level)):
        return Estimate(value, *limits, n, method)
    off = value - sum(weight * c.value for c, weight in zip(judged, weights, strict=True))  # 0 but for pooled ratios
    low, high = _square_and_add(judged, weights, level)
    return Estimate(value, low + off, high + off, n, f"newcombe over {cells[0].clusters}")


def _jackknife(
    cells: Sequence[Statistic], weights: Sequence[float], clusters: Sequence[np.ndarray], value: float, level: float
) -> Estimate:
    """A contrast by the cluster jackknife, whatever the function of the sums: what the value becomes without each
    cluster."""
    names, which = np.unique(np.concatenate(clusters), return_inverse=True)
    pulls = np.concatenate([weight * _pulls(c) for c, weight in zip(cells, weights, strict=True)])
    n, pull = len(names), np.bincount(which, pulls)
    half = math.sqrt(n / max(n - 1, 1) * ((pull - pull.mean()) ** 2).sum()) * float(t.ppf((1 + level) / 2, n - 1))
    if not all(c.varies for c in cells):
        return Estimate(value, math.nan, math.nan, n, FACT)
    if not half > TINY:
        return Estimate(value, math.nan, math.nan, n, NO_VARIATION)
    return Estimate(value, value - half, value + half, n, "cluster jackknife t")


def _pulls(c: Statistic) -> np.ndarray:
    """(R,) how far each cluster moves the value: (R - 1) / R * (value - the value without it)."""
    columns = c.columns
    n = len(columns)
    return (n - 1) / n * (c.value - c.of(columns.sum(0) - columns))


def between(cells: Sequence[Statistic]) -> dict[str, Estimate]:
    """The standard deviation of the values of K cells that hold the same rollouts, by two names.

    between: as it is. Its interval (chi-square) takes the cells for drawn from a normal population; n = K.
    noise: what is expected of it if the population had one value, from the cluster jackknife over what the cells share.
    Nothing is known of less than two cells, nor of a fact of the cell.
    """
    values, k = np.array([c.value for c in cells]), len(cells)
    found = values.std(ddof=1) if k > 1 and all(c.varies for c in cells) else math.nan
    method = f"chi-square, {k - 1} degrees of freedom"
    if math.isnan(found):
        return {"between": nothing(method), "noise": nothing("cluster jackknife")}
    low, high = (found * math.sqrt((k - 1) / chi2.ppf(q, k - 1)) for q in ((1 + LEVEL) / 2, (1 - LEVEL) / 2))
    if not found > TINY:
        low, high, method = math.nan, math.nan, NO_VARIATION
    pulls = np.stack([_pulls(c) for c in cells])
    apart = pulls - pulls.mean(0)
    n = apart.shape[1]
    noise = math.sqrt(n / max(n - 1, 1) * ((apart - apart.mean(1, keepdims=True)) ** 2).sum() / (k - 1))
    return {
        "between": Estimate(float(found), float(low), float(high), k, method),
        "noise": Estimate(noise, math.nan, math.nan, n, "cluster jackknife"),
    }


def auroc(
    positive: np.ndarray, negative: np.ndarray, paired: bool = False, seed: int = 0, level: float = LEVEL
) -> Estimate:
    """P(a positive has a higher score than a negative), ties half: the area under the ROC curve (sums.area).

    `paired`: positive i and negative i belong together and are resampled together. n counts the scores of both classes;
    nothing is known where one class is empty. Scores that no resample mixes (all pairs in order, say) have Wilson's
    interval with the smaller class as its units.
    """
    method, units = "bootstrap by class", min(len(positive), len(negative))
    if not units:
        return nothing(method)

    different, ranks = np.unique(np.concatenate([positive, negative]), return_inverse=True)
    classes = ranks[: len(positive)], ranks[len(positive) :]

    def tally(ranks: np.ndarray) -> np.ndarray:
        """(..., n) ranks -> (..., U) how many have each."""
        *shape, _ = ranks.shape
        offsets = len(different) * np.arange(math.prod(shape)).reshape(*shape, 1)
        counts = np.bincount((ranks + offsets).ravel().astype(np.intp), minlength=len(different) * offsets.size)
        return counts.reshape(*shape, len(different))

    def of(first: np.ndarray, second: np.ndarray, axis: int = -1) -> np.ndarray:
        return area(*(tally(np.moveaxis(ranks, axis, -1)) for ranks in (first, second)))

    value, n = float(of(*classes)), len(positive) + len(negative)
    if units >= EVENTS:
        result = _bootstrap(classes, of, seed, level, paired=paired)
        limits = result.confidence_interval
        if np.isfinite(limits).all() and np.ptp(result.bootstrap_distribution) > TINY:
            return Estimate(value, float(limits.low), float(limits.high), n, method)
    limits = wilson(value * units, units, level)
    return Estimate(value, limits.low, limits.high, n, "wilson over the smaller class")


def removed_share(first: Counts, second: Counts, seed: int = 0, level: float = LEVEL) -> Estimate:
    """1 - second / first, of two counts of the same rollouts: the share of the first that the second is rid of.

    n is the first count; negative where the second is larger.
    """
    before, after = first.numerators.sum(0), second.numerators.sum(0)
    kept = (before > 0) | (after > 0)
    ratio = Counts(after[None, kept], before[None, kept])
    claims, method = int(before.sum()), "paired cluster bootstrap"
    if not claims:
        return nothing(method)
    if min((before > 0).sum(), (after > 0).sum()) >= EVENTS:
        (limits,) = _bca([ratio], seed, level)
        if np.isfinite(limits).all():
            return Estimate(1 - ratio.value, *(1 - limits[::-1]).tolist(), claims, method)
    # A rate of 1 is taken for half a rollout less: statsmodels' interval is none there.
    of_rollouts = [x for c in (second, first) for n in _units(c).tolist() for x in (min(c.value * n, n - 0.5), n)]
    low, high = confint_proportions_2indep(*of_rollouts, compare="ratio", method="score", alpha=1 - level)
    low, high = min(max(float(low), 0.0), ratio.value), max(float(high), ratio.value)
    return Estimate(1 - ratio.value, 1 - high, 1 - low, claims, "score over rollouts")


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
    """Least squares of the rates k/n on the step, cluster-robust by step.

    `steps`, `k` and `n` run in parallel. Rows of one step are one cluster: they are added up, and the step's n is its
    weight. The covariance is then HC3, the cluster jackknife, and t has (steps - 2) degrees of freedom. Rows with n = 0
    are left out; with fewer than three steps everything is NaN.
    """
    steps, k, n = (np.asarray(values, dtype=float) for values in (steps, k, n))
    x, which = np.unique(steps[n > 0], return_inverse=True)
    k, n = np.bincount(which, k[n > 0]), np.bincount(which, n[n > 0])
    method = "cluster-robust least squares"
    if len(x) < 3:
        return Trend(nothing(method), math.nan, np.full((2, 2), math.nan), math.nan)
    fit = WLS(k / n, np.column_stack([np.ones_like(x), x]), weights=n).fit(cov_type="HC3", use_t=True)
    low, high = fit.conf_int(alpha=1 - level)[1]
    slope = Estimate(float(fit.params[1]), float(low), float(high), int(n.sum()), method)
    quantile = float(t.ppf((1 + level) / 2, fit.df_resid))
    return Trend(slope, float(fit.params[0]), np.asarray(fit.cov_params()), quantile)


def influence(counts: Counts) -> np.ndarray:
    """(R,) how much each rollout pulls at the value, times R: the value's variance is this one's over R."""
    shares = counts.denominators.mean(1, keepdims=True)
    rates = counts.numerators.sum(1, keepdims=True) / counts.denominators.sum(1, keepdims=True)
    return ((counts.numerators - rates * counts.denominators) / shares).mean(0)


def _events(counts: Counts) -> np.ndarray:
    """(K,) rollouts that hold an event, or those that hold a non-event, whichever are fewer."""
    return np.minimum((counts.numerators > 0).sum(1), (counts.numerators < counts.denominators).sum(1))


def _judged(counts: Counts) -> Counts:
    """What shows whether there is enough to resample: the ratios, or all as one where there are many."""
    if len(counts.numerators) <= PAIR:
        return counts
    return replace(counts, numerators=counts.numerators.sum(0)[None], denominators=counts.denominators.sum(0)[None])


def _units(counts: Counts) -> np.ndarray:
    """(K,) rollouts that hold anything to count."""
    return (counts.denominators > 0).sum(1)


def _bca(cells: Sequence[Statistic], seed: int, level: float) -> np.ndarray:
    """(M, 2) bias-corrected and accelerated limits of M metrics over the same R clusters, from the same resamples.

    NaN where a resample lacks a denominator, or where resamples do not vary.
    """
    columns = np.concatenate([c.columns for c in cells], axis=1)
    ends = np.cumsum([c.columns.shape[1] for c in cells])[:-1]
    n_clusters, at_once = len(columns), max(1, CELLS // columns.shape[1])

    def values(rows: np.ndarray, axis: int = -1) -> np.ndarray:
        """(..., R) numbers of clusters -> (M, ...). Each resample is counted out, then weighs the sums."""
        flat = rows.reshape(-1, rows.shape[axis]).astype(np.intp)
        found = [weighed(flat[start : start + at_once]) for start in range(0, len(flat), at_once)]
        return np.concatenate(found, axis=1).reshape(len(cells), *rows.shape[:-1])

    def weighed(flat: np.ndarray) -> np.ndarray:
        offsets = n_clusters * np.arange(len(flat))[:, None]
        weights = np.bincount((flat + offsets).ravel(), minlength=n_clusters * len(flat)).reshape(-1, n_clusters)
        parts = np.split(weights.astype(float) @ columns, ends, axis=1)
        return np.stack([c.of(part) for c, part in zip(cells, parts, strict=True)])

    result = _bootstrap((np.arange(n_clusters),), values, seed, level)
    limits = np.column_stack(result.confidence_interval)
    spread = np.ptp(result.bootstrap_distribution, axis=-1)
    return np.where((spread > TINY)[:, None], limits, np.nan)


def _bootstrap(
    data: Sequence[np.ndarray], statistic: Callable[..., np.ndarray], seed: int, level: float, paired: bool = False
) -> Any:
    """scipy's result, bias-corrected and accelerated; limits are NaN where resamples do not vary."""
    how = {"method": "BCa", "n_resamples": RESAMPLES, "confidence_level": level, "rng": np.random.default_rng(seed)}
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore", DegenerateDataWarning)
        return bootstrap(data, statistic, paired=paired, vectorized=True, **how)


def _cluster_robust(
    cells: Sequence[Counts], weights: Sequence[float], clusters: Sequence[np.ndarray], level: float
) -> tuple[float, float] | None:
    """Limits of a contrast, within what values from 0 to 1 can give; None where nothing varies."""
    rates, trials, groups, which, effects = [], [], [], [], []
    for cell, weight, names in zip(cells, weights, clusters, strict=True):
        for k, n in zip(cell.numerators, cell.denominators, strict=True):
            kept = n > 0
            rates.append(k[kept] / n[kept])
            trials.append(n[kept])
            groups.append(names[kept])
            which.append(np.full(kept.sum(), len(effects)))
            effects.append(weight / len(cell.numerators))
    design = np.eye(len(effects))[np.concatenate(which)]
    numbers = np.unique(np.concatenate(groups), return_inverse=True)[1]
    if numbers.max() == 0:
        return None
    fit = WLS(np.concatenate(rates), design, weights=np.concatenate(trials)).fit(
        cov_type="cluster", cov_kwds={"groups": numbers}, use_t=True
    )
    with np.errstate(invalid="ignore"):  # a variance that rounding takes below 0
        test = fit.t_test(np.array(effects))
    if not test.sd.item() > TINY:
        return None
    low, high = test.conf_int(alpha=1 - level)[0]
    return max(float(low), sum(min(w, 0.0) for w in weights)), min(float(high), sum(max(w, 0.0) for w in weights))


def _square_and_add(cells: Iterable[Counts], weights: Iterable[float], level: float) -> tuple[float, float]:
    """Limits of a weighted sum of proportions, from Wilson's limits of each with rollouts as its units.

    Newcombe 1998 (Statistics in Medicine 17, 873-890, method 10) for a difference; Zou, Huang and Zhang 2009
    (Computational Statistics & Data Analysis 53, 1080-1085) for any sum. It takes them for independent.
    """
    value = below = above = 0.0
    for cell, weight in zip(cells, weights, strict=True):
        share = weight / len(cell.numerators)
        for k, n, units in zip(cell.numerators.sum(1), cell.denominators.sum(1), _units(cell), strict=True):
            limits = wilson(k / n * units, units, level)
            value += share * limits.value
            down, up = sorted((share * (limits.low - limits.value), share * (limits.high - limits.value)))
            below, above = below + down**2, above + up**2
    return value - math.sqrt(below), value + math.sqrt(above)
