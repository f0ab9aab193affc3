"""reproduction.csv: every metric at every checkpoint, without a system prompt, default request. Column `kind`:

checkpoint           a metric of a checkpoint's evaluation rollouts
always_none          what always claiming None, grade 1, would have earned on the same answers
always_full          the same for always claiming Full, grade 7
base_rate            the same for the best claim of each kind of objective (rivals.py)
last_minus_first     the last checkpoint minus the untrained policy, paired by row; `step` is the last one
slope                change a step along the checkpoints' least-squares line, paired by row; `step` is the last one
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from confessions.analysis.metrics import METRICS, measure
from confessions.analysis.stats import paired_difference, paired_slope
from confessions.analysis.tables.base import BASELINE, COLUMNS, DEFAULT, Row, cell_rows, read_cells
from confessions.runtime.errors import InputError
from confessions.runtime.files import FIX


def reproduction(scores: Mapping[tuple[int, int], str | Path], labels: Mapping[str, str]) -> pd.DataFrame:
    """Every metric at every checkpoint, from the score files by (training seed, step). Steps are in order.

    InputError where a file is damaged, or where two checkpoints of a seed do not hold the same rows.
    """
    frames = {key: read_cells(path)[BASELINE, DEFAULT] for key, path in scores.items()}
    rows: list[Row] = []
    for seed in dict.fromkeys(seed for seed, _ in scores):
        steps = [step for s, step in scores if s == seed]
        checkpoints = {step: frames[seed, step] for step in steps}
        first, last = checkpoints[steps[0]], checkpoints[steps[-1]]
        for step, frame in checkpoints.items():
            if not frame["row"].equals(first["row"]):
                raise InputError(f"{scores[seed, step]}: does not hold the rows of {scores[seed, steps[0]]}; {FIX}")
            at = {"seed": seed, "step": step, "progress": 100 * step / (steps[-1] or 1)}
            rows += cell_rows(frame, measure(frame), at, "checkpoint")
        for metric in METRICS:
            at = {"seed": seed, "step": steps[-1], "progress": 100, "metric": metric}
            rows.append(at | {"kind": "last_minus_first"} | vars(paired_difference(metric, first, last)))
            if len(steps) > 2:
                rows.append(at | {"kind": "slope"} | vars(paired_slope(metric, checkpoints)))
    return pd.DataFrame(rows).assign(**labels)[list(COLUMNS)]
