"""wordings.csv: how much a condition depends on its wording. One row a metric, condition (the name without what stands
behind the hyphen), variant and checkpoint, for conditions in several wordings. Column `kind`:

mean                  over the wordings but the one held out
between               standard deviation of their values; n counts them
noise                 what that standard deviation would be if the wording made no difference, by the rows alone
held_out_minus_mean   the wording held out minus that mean, paired by row
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from confessions import prompts
from confessions.analysis.metrics import METRICS, measure
from confessions.analysis.stats import between, contrast
from confessions.analysis.sums import Statistic
from confessions.analysis.tables.base import GRID_COLUMNS, Row, checkpoints, read_all_cells


def wordings(
    scores: Mapping[Any, str | Path], labels: Mapping[str, str], model_labels: Mapping[str, str] = {}
) -> pd.DataFrame:
    """From the score files by (training seed, step), whose steps are in order, or by the keys of
    `model_labels`.

    InputError where a file is damaged, lacks a cell or holds cells that do not pair.
    """
    named = checkpoints(scores, model_labels)
    rows: list[Row] = []
    for key, cells in read_all_cells(scores).items():
        checkpoint = named[key]
        families = prompts.families(dict.fromkeys(condition for condition, _ in cells))
        variants = dict.fromkeys(variant for _, variant in cells)
        for (family, names), variant in product(families.items(), variants):
            chosen_on, held_out = (
                [measure(cells[name, variant]) for name in names if prompts.is_held_out(name) == value]
                for value in (False, True)
            )
            at = checkpoint | {"condition": family, "variant": variant}
            rows += (at | row for row in _rows(chosen_on, *held_out))
    return pd.DataFrame([{**labels, **row} for row in rows])[list(GRID_COLUMNS)]


def _rows(cells: Sequence[Mapping[str, Statistic]], held_out: Mapping[str, Statistic] | None = None) -> Iterator[Row]:
    equally = [1 / len(cells)] * len(cells)
    for metric in METRICS:
        values = [cell[metric] for cell in cells]
        numbers = {"mean": contrast(values, equally), **between(values)}
        if held_out:
            numbers["held_out_minus_mean"] = contrast([*values, held_out[metric]], [*(-w for w in equally), 1])
        for kind, number in numbers.items():
            yield {"metric": metric, "kind": kind} | vars(number)
