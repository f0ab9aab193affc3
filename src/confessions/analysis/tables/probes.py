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
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from confessions.analysis.metrics import measure
from confessions.analysis.tables.base import NUMBER, NUMERIC, Row, cell_rows, checkpoints, read_all_cells
from confessions.runtime.errors import InputError
from confessions.runtime.files import FIX, read_csv

PROBE_COLUMNS = (
    "experiment", "source", "model", "label", "seed", "step", "progress", "probe", "task", "condition", "variant",
    "metric", "kind", *NUMBER,
)  # fmt: skip
CELL = ["model", "seed", "step", "variant"]  # what names a cell of a probe


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
    rows: list[Row] = []
    for at, cell in probe_cells(policy, models, labels, model_labels):
        rows += cell_rows(cell, measure(cell), at, "cell")
    return probe_table(rows, labels, PROBE_COLUMNS)


def probe_cells(
    policy: Mapping[tuple[str, int, int], str | Path],
    models: Mapping[tuple[str, str], str | Path],
    labels: Mapping[str, str],
    model_labels: Mapping[str, str],
    steps: Collection[int] | None = None,
) -> Iterator[tuple[Row, pd.DataFrame]]:
    """The columns that name each cell of the files that `probes` is given, and its scores; `steps`: of the policy's
    checkpoints those alone."""
    trained = checkpoints([(seed, step) for _, seed, step in policy])
    named: dict[str, dict[str | Path, Row]] = {}
    for (probe, seed, step), path in policy.items():
        if steps is None or step in steps:
            at = {"model": labels["model"], "label": labels["model"]} | trained[seed, step]
            named.setdefault(probe, {})[path] = at
    for (probe, key), path in models.items():
        at = {"model": key, "label": model_labels[key], "seed": None, "step": 0, "progress": math.nan}
        named.setdefault(probe, {})[path] = at
    for probe, files in named.items():
        for path, cells in read_all_cells({path: path for path in files}, ("task",), default=None).items():
            for (condition, variant), cell in cells.items():
                at = files[path] | {"probe": probe, "task": cell["task"].iat[0]}
                yield at | {"condition": condition, "variant": variant}, cell


def last_steps(policy: Iterable[tuple[str, int, int]]) -> set[int]:
    """The last step of the policy's checkpoints, which every training seed has."""
    return {max(steps)} if (steps := {step for _, _, step in policy}) else set()


def probe_table(rows: Sequence[Row], labels: Mapping[str, str], columns: Sequence[str]) -> pd.DataFrame:
    """The rows as a table with these columns."""
    table = pd.DataFrame(rows, columns=[name for name in columns if name not in ("experiment", "source")])
    table = table.astype({"seed": "Int64"})
    return table.assign(experiment=labels["experiment"], source=labels["source"])[list(columns)]


def read_probes(
    path: str | Path, needed: Collection[str], columns: tuple[str, ...] = PROBE_COLUMNS, parts: Collection[str] = ()
) -> pd.DataFrame:
    """Read a table of probes that has these metrics; `parts`: columns that part a cell, as the kinds of objectives.

    InputError where a number is none or it is cut short: every metric, and kind of number, that it has, it has of each
    part of each cell.
    """
    table = read_csv(path, columns, NUMERIC)
    cells, metrics = (
        table.groupby(keys, dropna=False).ngroups for keys in (["probe", *CELL, *parts], ["kind", "metric"])
    )
    whole = len(table) == cells * metrics and not table["method"].isna().any()
    if not whole or not set(needed) <= set(table["metric"]):
        raise InputError(f"{path}: not a whole table (rows are missing); {FIX}")
    return table
