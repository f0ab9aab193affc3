"""onset.csv: when the task's own hack begins in training, one point a seed. Column `kind`:

seed      the first of RUN consecutive steps in each of which more than half of the rollouts are hacked; `value` is
          empty where there is none within the run, and `method` says so
median    over the seeds, a seed that never crosses counting as later than any step (empty where the median is such a
          one); `n` is the number of seeds. An interval stands there from SEEDS seeds on: of the order statistics, 95 %,
          but of 5 seeds the whole range, which holds the median in 93.75 % of cases. An end that is a seed which never
          crosses is empty
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import quantile_test

from confessions.analysis.stats import LEVEL, Estimate
from confessions.analysis.tables.base import COLUMNS
from confessions.analysis.tables.training import read_log

SHARE = 0.5  # more than this part of a step's rollouts
RUN = 3  # steps in a row
SEEDS = 5  # fewer points have no interval


def onset(metrics: Mapping[int, str | Path], steps: int, labels: Mapping[str, str]) -> pd.DataFrame:
    """From each training seed's metrics.jsonl. InputError where one is damaged or does not hold steps 1 to `steps`."""
    logs = {seed: read_log(path, steps) for seed, path in metrics.items()}
    points = {seed: first_crossing([row["hacked"] / row["n"] for row in log]) for seed, log in logs.items()}
    rows = [{"kind": "seed", "seed": seed} | vars(_of_seed(point, steps)) for seed, point in points.items()]
    rows.append({"kind": "median", "seed": None} | vars(median(list(points.values()))))
    table = pd.DataFrame(rows).astype({"seed": "Int64"}).assign(metric="onset", step=steps, progress=100.0, **labels)
    return table[list(COLUMNS)]


def first_crossing(shares: Sequence[float], above: float = SHARE, run: int = RUN) -> int | None:
    """The first step, counted from 1, of `run` consecutive ones whose share is greater than `above`; None: never."""
    beyond = [share > above for share in shares]
    return next((i + 1 for i in range(len(beyond) - run + 1) if all(beyond[i : i + run])), None)


def median(points: Sequence[int | None], level: float = LEVEL) -> Estimate:
    """The median of onsets, with an interval from SEEDS of them on; None is later than every step. With an even number
    of points it is the mean of the two in the middle."""
    found = np.array([math.inf if point is None else point for point in points], dtype=float)
    value, low, high, method = float(np.median(found)), math.nan, math.nan, f"none: fewer than {SEEDS} seeds"
    if len(found) >= SEEDS:
        widest = 1 - 2.0 ** (1 - len(found))  # what the whole range covers
        limits = quantile_test(found, q=value, p=0.5).confidence_interval(min(level, widest - 1e-9))
        (low, high), method = limits, "order statistics"
    value, low, high = (x if math.isfinite(x) else math.nan for x in (value, low, high))
    return Estimate(value, low, high, len(found), method)


def _of_seed(point: int | None, steps: int) -> Estimate:
    method = f"never within {steps} steps" if point is None else f"first of {RUN} steps above {SHARE:.0%}"
    return Estimate(math.nan if point is None else float(point), math.nan, math.nan, 1, method)
