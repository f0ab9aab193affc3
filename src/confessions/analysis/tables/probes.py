"""probes.csv: every metric of every probe of a checkpoint or a plain model. Column `kind`:

cell              a metric of the probe's rollouts in one variant
always_none       what always claiming None, grade 1, would have earned on the same answers
always_full       the same for always claiming Full, grade 7
base_rate         the same for the best claim of each kind of objective (rivals.py), fitted on answers to the probe's
                  own task, by whoever wrote those that are scored: kinds that were never trained on have their rates
`task` is the probe's. For a plain model `seed` and `progress` are empty and `step` is 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from confessions.analysis.metrics import measure
from confessions.analysis.tables.base import NUMBER, Row, cell_rows, checkpoints, read_all_cells

PROBE_COLUMNS = (
    "experiment", "source", "model", "label", "seed", "step", "progress", "probe", "task", "condition", "variant",
    "metric", "kind", *NUMBER,
)  # fmt: skip


def probes(
    policy: Mapping[tuple[str, int, int], str | Path],
    models: Mapping[tuple[str, str], str | Path],
    labels: Mapping[str, str],
    model_labels: Mapping[str, str],
) -> pd.DataFrame:
    """From the score files of the policy's checkpoints by (probe, training seed, step) and of plain models by
    (probe, key).

    InputError where a file is damaged, or lacks a variant that another one of its probe has.
    """
    trained = checkpoints([(seed, step) for _, seed, step in policy])
    named: dict[str, dict[str | Path, Row]] = {}
    for (probe, seed, step), path in policy.items():
        at = {"model": labels["model"], "label": labels["model"]} | trained[seed, step]
        named.setdefault(probe, {})[path] = at
    for (probe, key), path in models.items():
        at = {"model": key, "label": model_labels[key], "seed": None, "step": 0, "progress": math.nan}
        named.setdefault(probe, {})[path] = at
    rows: list[Row] = []
    for probe, files in named.items():
        for path, cells in read_all_cells({path: path for path in files}, ("task",), default=None).items():
            for (condition, variant), cell in cells.items():
                at = files[path] | {"probe": probe, "task": cell["task"].iat[0]}
                at |= {"condition": condition, "variant": variant}
                rows += cell_rows(cell, measure(cell), at, "cell")
    table = pd.DataFrame(rows).astype({"seed": "Int64"})
    return table.assign(experiment=labels["experiment"], source=labels["source"])[list(PROBE_COLUMNS)]
