"""scale.csv and ladder.csv: every metric of plain models, by size or by training stage. Column `kind`:

model             a metric of the model's rollouts in one variant, without a system prompt
always_none       what always claiming None, grade 1, would have earned on the same answers
always_full       the same for always claiming Full, grade 7
base_rate         the same for the best claim of each kind of objective (rivals.py)
minus_default     the variant minus default, paired by row; it is about the same answers
`model` is the key in the configuration, `label` its name in figures, `position` its place in the list, from 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from confessions.analysis.metrics import measure
from confessions.analysis.tables.base import (
    BASELINE,
    DEFAULT,
    MODEL_COLUMNS,
    Row,
    cell_rows,
    difference_rows,
    read_all_cells,
)


def by_model(
    scores: Mapping[str, str | Path], model_labels: Mapping[str, str], labels: Mapping[str, str]
) -> pd.DataFrame:
    """Every metric of every model, from the score files by model key, in the order of the figure.

    `labels` holds experiment, task and source. Conditions other than baseline are left out. InputError where a file is
    damaged, lacks a cell or holds cells that do not pair.
    """
    rows: list[Row] = []
    for position, (model, cells) in enumerate(read_all_cells(scores).items()):
        counts = {variant: measure(cell) for (condition, variant), cell in cells.items() if condition == BASELINE}
        for variant, here in counts.items():
            at = {"model": model, "label": model_labels[model], "position": position, "variant": variant}
            rows += cell_rows(cells[BASELINE, variant], here, at, "model")
            if variant != DEFAULT:
                rows += difference_rows(counts[DEFAULT], here, at, "minus_default")
    named = {name: labels[name] for name in ("experiment", "task", "source")}
    return pd.DataFrame(rows).assign(**named)[list(MODEL_COLUMNS)]
