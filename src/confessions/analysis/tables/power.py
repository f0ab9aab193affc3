"""power.csv: what difference between two cells the evaluation can see: 80 % power, two-sided 5 %. Column `kind`:

detectable    the smallest difference that `n` rollouts a cell can see, n being what the score files hold
needed        the rollouts a cell (`n`) that see a difference of 0.05

`design` is unpaired (two independent cells) or paired by row: minus_baseline, minus_default. `base_rate` is the first
cell's value; `observed` where it is the mean over the cells of the score files. Differences are counted towards 0.5.
Objectives of a rollout are not independent: a rollout's `units` objectives count for units / design_effect of them.
Design effect and `correlation` (of a cell and its reference, by row) are medians over the cells. Empty where there is
nothing to measure by, where no difference is large enough, and where the two cells are one: a variant's answers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import power_proportions_2indep, samplesize_proportions_2indep_onetail

from confessions.analysis.metrics import METRICS, Counts, measure
from confessions.analysis.stats import TINY, influence
from confessions.analysis.tables.base import BASELINE, DEFAULT, LABELS, CellName, Row, read_all_cells

POWER_COLUMNS = (
    *LABELS,
    *("metric", "unit", "design", "kind", "base_rate", "observed", "difference", "n"),
    *("units", "design_effect", "correlation", "method"),
)
POWER, ALPHA, DIFFERENCE = 0.8, 0.05, 0.05
BASE_RATES = (0.1, 0.25, 0.5, 0.75, 0.9)


def power(scores: Mapping[tuple[int, int], str | Path], labels: Mapping[str, str]) -> pd.DataFrame:
    """For every metric whose units are clustered by rollout, from the score files by (training seed, step).

    InputError where a file is damaged, lacks a cell or holds cells that do not pair.
    """
    every = [{name: measure(cell) for name, cell in cells.items()} for cells in read_all_cells(scores).values()]
    n = min(counts["report_valid"].numerators.shape[1] for cells in every for counts in cells.values())
    rows: list[Row] = []
    for name, metric in METRICS.items():
        if metric.cluster != "rollout":  # no rate of what a rollout holds: the formulas are not theirs
            continue
        measured = _measure(name, every)
        for rate in (*BASE_RATES, measured.base_rate):
            at = {"metric": name, "unit": metric.kind, "units": measured.units}
            at |= {"design_effect": measured.design_effect}
            at |= {"base_rate": rate, "observed": rate is measured.base_rate}
            rows += (at | row for row in _unpaired(rate, measured.trials, n))
            for design, correlation in measured.correlations.items():
                rows += (at | {"design": design} | row for row in _paired(rate, measured.trials, correlation, n))
    return pd.DataFrame(rows).astype({"n": "Int64"}).assign(**labels)[list(POWER_COLUMNS)]


@dataclass(frozen=True)
class Measured:
    """One metric over the cells of the score files."""

    base_rate: float  # mean value
    units: float  # mean number counted a rollout
    design_effect: float  # median
    correlations: dict[str, float]  # by paired design: median, of a cell and its reference, by row

    @property
    def trials(self) -> float:
        """Independent trials that a rollout is worth."""
        return self.units / self.design_effect


def _measure(name: str, checkpoints: Sequence[Mapping[CellName, Mapping[str, Counts]]]) -> Measured:
    values, units, effects = [], [], []
    correlations = {"minus_baseline": [], "minus_default": []}
    for cells in checkpoints:
        for (condition, variant), cell in cells.items():
            counts = cell[name]
            pull, spread = influence(counts), counts.value * (1 - counts.value)
            values.append(counts.value)
            units.append(counts.denominators.mean())
            effects.append(units[-1] * pull.var() / spread if np.ptp(pull) > TINY else math.nan)
            if condition != BASELINE:
                correlations["minus_baseline"].append(_correlation(cells[BASELINE, variant][name], counts))
            if variant != DEFAULT:
                correlations["minus_default"].append(_correlation(cells[condition, DEFAULT][name], counts))
    paired = {design: _over(np.median, found) for design, found in correlations.items()}
    return Measured(_over(np.mean, values), _over(np.mean, units), _over(np.median, effects), paired)


def _correlation(first: Counts, second: Counts) -> float:
    """Of what each row adds to two cells' values; NaN where one of them does not vary."""
    pair = np.stack([influence(first), influence(second)])
    return float(np.corrcoef(pair)[0, 1]) if (np.ptp(pair, axis=1) > TINY).all() else math.nan


def _over(average: Callable, numbers: Sequence[float]) -> float:
    """The average of the numbers that are known; NaN when none is."""
    known = [number for number in numbers if not math.isnan(number)]
    return float(average(known)) if known else math.nan


def _unpaired(rate: float, trials: float, n: int) -> Iterator[Row]:
    """Two independent cells of n rollouts, each worth this many trials."""
    sign = _towards_half(rate)

    def excess(difference: float) -> float:
        return power_proportions_2indep(sign * difference, rate, n * trials, alpha=ALPHA).power - POWER

    def size() -> float:
        return samplesize_proportions_2indep_onetail(sign * DIFFERENCE, rate, POWER, alpha=ALPHA) / trials

    at = {"design": "unpaired", "correlation": None, "method": "two proportions"}
    yield from (at | row for row in _rows(excess, size, rate, n, not math.isnan(trials)))


def _paired(rate: float, trials: float, correlation: float, n: int) -> Iterator[Row]:
    """Two cells of the same n rows."""
    sign = _towards_half(rate)
    needed = TTestPower().solve_power(nobs=n, alpha=ALPHA, power=POWER)

    def effect(difference: float) -> float:
        """The difference over the standard deviation of a row's difference."""
        a, b = (math.sqrt(p * (1 - p) / trials) for p in (rate, rate + sign * difference))
        return difference / math.sqrt(a**2 + b**2 - 2 * correlation * a * b)

    def excess(difference: float) -> float:
        return effect(difference) - needed

    def size() -> float:
        return TTestPower().solve_power(effect(DIFFERENCE), alpha=ALPHA, power=POWER)

    at = {"correlation": correlation, "method": "paired t"}
    known = not math.isnan(trials) and correlation < 1 - TINY
    yield from (at | row for row in _rows(excess, size, rate, n, known))


def _towards_half(rate: float) -> int:
    return 1 if rate <= 0.5 else -1


def _rows(
    excess: Callable[[float], float], size: Callable[[], float], rate: float, n: int, known: bool
) -> Iterator[Row]:
    """The smallest difference, where `excess` is 0, and the rollouts that DIFFERENCE needs."""
    known, room = known and 0 < rate < 1, max(rate, 1 - rate) - 1e-6
    smallest = brentq(excess, 1e-6, room) if known and excess(room) > 0 else None
    yield {"kind": "detectable", "difference": smallest, "n": n}
    yield {"kind": "needed", "difference": DIFFERENCE, "n": math.ceil(size()) if known else None}
