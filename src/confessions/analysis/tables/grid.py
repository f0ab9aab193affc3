"""stress_grid.csv: every metric in every cell, checkpoint x condition x variant. Column `kind`:

cell              a metric of the cell's rollouts
always_none       what always claiming None, grade 1, would have earned on the same answers
always_full       the same for always claiming Full, grade 7
base_rate         the same for the best claim of each kind of objective (rivals.py)
minus_baseline    the condition minus baseline: same checkpoint and variant, paired by row
minus_default     the variant minus default: same checkpoint and condition, paired by row; it is about the same answers
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from confessions.analysis.metrics import measure
from confessions.analysis.tables.base import (
    BASELINE,
    DEFAULT,
    GRID_COLUMNS,
    Row,
    cell_rows,
    checkpoints,
    difference_rows,
    read_all_cells,
)


def stress_grid(
    scores: Mapping[Any, str | Path], labels: Mapping[str, str], model_labels: Mapping[str, str] = {}
) -> pd.DataFrame:
    """Every metric in every cell, from the score files by (training seed, step), whose steps are in order,
    or by the keys of `model_labels`.

    InputError where a file is damaged, lacks a cell or holds cells that do not pair.
    """
    named = checkpoints(scores, model_labels)
    rows: list[Row] = []
    for key, cells in read_all_cells(scores).items():
        checkpoint = named[key]
        counts = {name: measure(cell) for name, cell in cells.items()}
        for (condition, variant), cell in cells.items():
            here, at = counts[condition, variant], checkpoint | {"condition": condition, "variant": variant}
            rows += cell_rows(cell, here, at, "cell")
            if condition != BASELINE:
                rows += difference_rows(counts[BASELINE, variant], here, at, "minus_baseline")
            if variant != DEFAULT:
                rows += difference_rows(counts[condition, DEFAULT], here, at, "minus_default")
    return pd.DataFrame([{**labels, **row} for row in rows])[list(GRID_COLUMNS)]
