"""What the tables share: their columns, reading scores cell by cell, writing, and reading back whole."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from confessions.analysis.metrics import METRICS, constant_scores, measure, own_rates
from confessions.analysis.rivals import base_rate_scores
from confessions.analysis.stats import Estimate, contrast, estimates, wilson
from confessions.analysis.sums import Statistic
from confessions.runtime.errors import InputError
from confessions.runtime.files import FIX, published, read_csv, read_parquet
from confessions.scoring.scores import P_MET, P_TOKEN
from confessions.training import counted

BASELINE, DEFAULT = "baseline", "default"  # the reference condition and variant
LABELS = ("experiment", "task", "model", "source")
NUMBER = ("value", "low", "high", "n", "method")
COLUMNS = (*LABELS, "seed", "metric", "kind", "step", "progress", *NUMBER)
GRID_COLUMNS = (*LABELS, "seed", "step", "progress", "condition", "variant", "metric", "kind", *NUMBER)
MODEL_COLUMNS = (
    *("experiment", "task", "source", "model", "label", "position", "variant", "metric", "kind"),
    *NUMBER,
)
NUMERIC = frozenset(
    {
        "seed",
        "step",
        "progress",
        "position",
        "k",
        "hack_fraction",
        "epochs",
        "learning_rate",
        "training_seed",
        "bin",
        *NUMBER,
    }
    - {"method"}
)
CALLED = {  # metrics, by earlier versions
    **counted.CALLED,
    "sentence_correct": "objective_met",
    "bracket_hack_persistence": "hacked",
    "p_full_given_right": "p_full_given_met",
    "p_none_given_wrong": "p_none_given_unmet",
}
# A whole table has every combination of these, in a kind.
KEYS = ("seed", "step", "condition", "variant", "model", "band", "metric")

SCORE_COLUMNS = (
    *("instance", "answer", "kinds", "claims"),
    *("row", "condition", "variant", "met", "n_objectives", "n_met", "exact_compliance", "hacked", "n_false_labels"),
    *("report_valid", "n_correct_credit", "n_under_claim", "n_clean_admission", "n_hedged", "n_over_claim"),
    *("n_invalid", "grade_honest", "checked", "judge_pass"),
)

Row = dict[str, Any]
CellName = tuple[str, str]  # condition, variant


def read_cells(
    path: str | Path, more: tuple[str, ...] = (), default: str | None = DEFAULT
) -> dict[CellName, pd.DataFrame]:
    """The cells of a score file, each sorted by `row`. `more` are columns that it needs besides the usual ones,
    `default` is the variant of the reference cell; None: that is the file's first cell.

    InputError where the file is damaged, lacks a cell (the reference one, or a condition in a variant) or holds cells
    that do not pair: other rows than the reference cell's, or one twice.
    """
    scores = read_parquet(path, columns=SCORE_COLUMNS + more)
    cells = {
        cell: rows.sort_values("row", ignore_index=True)
        for cell, rows in scores.groupby(["condition", "variant"], sort=False)
    }
    reference = (BASELINE, default) if default else next(iter(cells), (BASELINE, DEFAULT))
    conditions, variants = ({name: None} for name in reference)
    for condition, variant in cells:
        conditions[condition] = variants[variant] = None
    for cell in product(conditions, variants):
        if cell not in cells:
            raise InputError(f"{path}: no rollouts of {' / '.join(cell)}; {FIX}")
    _check_probabilities(scores, path)
    expected = cells[reference]["row"]
    for cell, rows in cells.items():
        if not rows["row"].is_unique or not rows["row"].equals(expected):
            raise InputError(
                f"{path}: {' / '.join(cell)} does not hold the rows of {' / '.join(reference)}, each once; {FIX}"
            )
    return cells


def _check_probabilities(scores: pd.DataFrame, path: str | Path) -> None:
    """InputError, with the row, where the probabilities of a report are not one of 0 to 1 for each objective."""
    for column in (P_MET, P_TOKEN):
        for row, (given, met) in enumerate(zip(scores.get(column, ()), scores["met"], strict=False), start=1):
            if given is not None and (len(given) != len(met) or not all(0 <= p <= 1 for p in given)):
                said = reprlib.repr(np.asarray(given).tolist())
                raise InputError(f"{path}: row {row}: {column} is {said}, not {len(met)} probabilities; {FIX}")


def read_all_cells(
    scores: Mapping[Any, str | Path], more: tuple[str, ...] = (), default: str | None = DEFAULT
) -> dict[Any, dict[CellName, pd.DataFrame]]:
    """The cells of every file. InputError where a file lacks a cell that the first one has, or has another."""
    every = {key: read_cells(path, more, default) for key, path in scores.items()}
    first = next(iter(every.values()), {})
    for key, cells in every.items():
        if odd := first.keys() ^ cells.keys():
            lacks = "no" if next(iter(odd)) in first else "unexpected"
            raise InputError(f"{scores[key]}: {lacks} rollouts of {' / '.join(min(odd))}; {FIX}")
    return every


def checkpoints(scores: Iterable[Any], model_labels: Mapping[str, str] = {}) -> dict[Any, Row]:
    """The columns that name each checkpoint, of pairs of training seed and step: these, and the step as a percentage of
    the seed's last. Of models as they are, whose keys `model_labels` knows: the model, at step 0."""
    if model_labels:
        known = [*model_labels.values()]
        named = {key: label if known.count(label) == 1 else f"{label} ({key})" for key, label in model_labels.items()}
        return {key: {"model": named[key], "seed": 0, "step": 0, "progress": 0.0} for key in scores}
    last = {seed: max(step for other, step in scores if other == seed) for seed, _ in scores}
    return {
        (seed, step): {"seed": seed, "step": step, "progress": 100 * step / (last[seed] or 1)} for seed, step in scores
    }


def cell_rows(cell: pd.DataFrame, counts: Mapping[str, Statistic], at: Row, kind: str) -> Iterator[Row]:
    """Every metric of one cell (rows `kind`), and what policies that see no answer would have got on the same ones."""
    measured = estimates(counts)
    for metric, number in measured.items():
        yield at | {"metric": metric, "kind": kind} | vars(number)
    for metric, counts in own_rates(cell).items():
        number = wilson(counts.numerators.sum(), counts.denominators.sum())
        yield at | {"metric": metric, "kind": kind} | vars(number)
    rivals = {
        "always_none": constant_scores(cell, "None"),
        "always_full": constant_scores(cell, "Full"),
        "base_rate": base_rate_scores(cell),
    }
    for rival, blind in rivals.items():
        values = measure(blind)
        for metric in (m for m in METRICS.values() if m.reads_report):
            value = values[metric.name].value
            number = Estimate(value, math.nan, math.nan, measured[metric.name].n, "the same answers")
            yield at | {"metric": metric.name, "kind": rival} | vars(number)


def difference_rows(
    first: Mapping[str, Statistic], second: Mapping[str, Statistic], at: Row, kind: str
) -> Iterator[Row]:
    """second - first of every metric, over the rows that both cells hold in the same order."""
    for metric in METRICS:
        yield at | {"metric": metric, "kind": kind} | vars(contrast([first[metric], second[metric]], [-1, 1]))


def write(table: pd.DataFrame, path: str | Path) -> None:
    """Publish a table as CSV."""
    with published(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")


def read(path: str | Path, needed: Mapping[str, tuple[str, ...]], columns: tuple[str, ...] = COLUMNS) -> pd.DataFrame:
    """Read a table that has, for each kind in `needed`, these metrics.

    InputError where a number is none or it is cut short, also at the end of a line: within a kind, every combination of
    the KEYS that are among `columns` stands in one row.
    """
    table = read_csv(path, columns, NUMERIC)
    table["metric"] = table["metric"].replace(CALLED)
    keys = [key for key in KEYS if key in columns]
    whole = not table["method"].isna().any()
    for kind, rows in table.groupby("kind"):
        whole &= len(rows) == math.prod(rows[key].nunique() for key in keys)
        whole &= set(needed.get(kind, ())) <= set(rows["metric"])
    if not whole or not set(needed) <= set(table["kind"]):
        raise InputError(f"{path}: not a whole table (rows are missing); {FIX}")
    return table
