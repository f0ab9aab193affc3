"""What another experiment's training changed, seed by seed, of everything that is measured. Column `kind`:

cell         a metric of the experiment's checkpoint
other        the same of the other experiment's, same seed, step, condition and variant
difference   the experiment minus the other, paired by row: both were asked the same with the same sampling seeds
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from confessions.analysis.metrics import measure
from confessions.analysis.stats import estimates
from confessions.analysis.tables.base import GRID_COLUMNS, Row, checkpoints, difference_rows, read_cells
from confessions.runtime.errors import InputError

Scores = Mapping[tuple[int, int], str | Path]  # score files by training seed and step


def paired(scores: Scores, others: Scores, labels: Mapping[str, str]) -> pd.DataFrame:
    """Every metric of both, and the difference, in every cell that both have of a checkpoint that both have.

    `labels` are the experiment's. InputError where they have no checkpoint or no cell in common, or where a cell does
    not hold the same rows.
    """
    both = [key for key in scores if key in others]
    if not both:
        raise InputError(f"{next(iter(scores))}: the experiments have no seed and step in common")
    rows: list[Row] = []
    for key, at in checkpoints(both).items():
        here, there = read_cells(scores[key]), read_cells(others[key])
        for condition, variant in (cell for cell in here if cell in there):
            cells = here[condition, variant], there[condition, variant]
            if list(cells[0]["row"]) != list(cells[1]["row"]):
                raise InputError(f"{others[key]}: does not hold the rows of {scores[key]}")
            this, other = map(measure, cells)
            named = at | {"condition": condition, "variant": variant}
            for kind, counts in (("cell", this), ("other", other)):
                rows += [named | {"metric": m, "kind": kind} | vars(number) for m, number in estimates(counts).items()]
            rows += difference_rows(other, this, named, "difference")
    return pd.DataFrame(rows).assign(**labels)[list(GRID_COLUMNS)]
