"""The result tables, tidy: one number a row, with its interval, its n and how the interval was made.

reproduction.csv, column `kind`:
    checkpoint           a metric of a checkpoint's evaluation rollouts
    always_none          what always claiming None, grade 1, would have earned on the same answers
    always_full          the same for always claiming Full, grade 7
    last_minus_first     the last checkpoint minus the untrained policy, paired by row; `step` is the last one
training.csv, column `kind`:
    step                 a quantity of one training step: shares with an interval, others as logged
    trend                the straight line through the shares, at each step
    slope                its slope a step; `step` is the last one
`progress` is the part of the run in percent, `seed` the training seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from confessions.errors import InputError
from confessions.files import FIX, published, read_csv, read_jsonl, read_parquet
from confessions.metrics import METRICS, constant_policy
from confessions.stats import Estimate, estimate, paired_difference, trend, wilson

LABELS = ("experiment", "task", "model", "source")
COLUMNS = (*LABELS, "seed", "metric", "kind", "step", "progress", "value", "low", "high", "n", "method")
SHARES = ("judge_pass", "judge_fooled", "truly_correct", "hacked", "report_valid", "count_verified")  # k of n


def reproduction(scores: Mapping[tuple[int, int], str | Path], labels: Mapping[str, str]) -> pd.DataFrame:
    """Every metric at every checkpoint, from the score files by (training seed, step). Steps are in order.

    InputError where a file is damaged, or where two checkpoints do not hold the same rows.
    """
    frames = {cell: read_parquet(path, columns=("row", "judge_pass", "met")) for cell, path in scores.items()}
    rows: list[dict[str, Any]] = []
    for seed in dict.fromkeys(seed for seed, _ in scores):
        steps = [step for s, step in scores if s == seed]
        for metric in METRICS:
            for step in steps:
                at = {"seed": seed, "metric": metric, "step": step, "progress": 100 * step / steps[-1]}
                rows += _checkpoint(frames[seed, step], at)
            first, last = frames[seed, steps[0]], frames[seed, steps[-1]]
            try:
                difference = paired_difference(metric, first, last)
            except ValueError as error:
                raise InputError(f"{scores[seed, steps[-1]]}: {error}; {FIX}") from None
            rows.append(at | {"kind": "last_minus_first"} | vars(difference))
    return pd.DataFrame(rows).assign(**labels)[list(COLUMNS)]


def _checkpoint(scores: pd.DataFrame, at: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of one metric (`at`) at one checkpoint."""
    measured = estimate(at["metric"], scores)
    rows = [{**at, "kind": "checkpoint", **vars(measured)}]
    if METRICS[at["metric"]].reads_report:
        for kind, claim in (("always_none", "None"), ("always_full", "Full")):
            value = constant_policy(scores, claim, at["metric"])
            constant = Estimate(value, math.nan, math.nan, measured.n, "the same answers")
            rows.append({**at, "kind": kind, **vars(constant)})
    return rows


def training(metrics: Mapping[int, str | Path], steps: int, labels: Mapping[str, str]) -> pd.DataFrame:
    """Every logged quantity at each of `steps` steps, from each training seed's metrics.jsonl, with trends.

    InputError where a file is damaged or does not hold steps 1 to `steps`.
    """
    rows: list[dict[str, Any]] = []
    for seed, path in metrics.items():
        logged = read_jsonl(path)
        if [record.get("step") for record in logged] != list(range(1, steps + 1)):
            raise InputError(f"{path}: does not hold the steps 1 to {steps}, each once; {FIX}")
        if missing := [name for name in ("n", *SHARES) if any(name not in record for record in logged)]:
            raise InputError(f"{path}: {missing[0]!r} is missing; {FIX}")
        for metric in [name for name in logged[0] if name not in ("step", "n")]:
            rows += [{"seed": seed, "metric": metric} | row for row in _quantity(metric, logged)]
    table = pd.DataFrame(rows).assign(**labels)
    table["progress"] = 100 * table["step"] / steps
    return table[list(COLUMNS)]


def _quantity(metric: str, logged: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of one quantity: its value at each step and, for a share, its trend."""
    steps, k, n = ([record.get(name) for record in logged] for name in ("step", metric, "n"))
    if metric not in SHARES:
        values = [math.nan if value is None else value for value in k]
        plain = [Estimate(value, math.nan, math.nan, size, "as logged") for value, size in zip(values, n, strict=True)]
        return [{"kind": "step", "step": step, **vars(x)} for step, x in zip(steps, plain, strict=True)]
    rows = [{"kind": "step", "step": step, **vars(wilson(*pair))} for step, *pair in zip(steps, k, n, strict=True)]
    fit = trend(steps, k, n)
    line = fit.line(steps).assign(kind="trend", n=fit.slope.n, method=fit.slope.method)
    return [*rows, *line.to_dict("records"), {"kind": "slope", "step": steps[-1], **vars(fit.slope)}]


def write(table: pd.DataFrame, path: str | Path) -> None:
    """Publish a table as CSV."""
    with published(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")


def read(path: str | Path, needed: Mapping[str, tuple[str, ...]]) -> pd.DataFrame:
    """Read a table that has, for each kind in `needed`, these metrics.

    InputError where it is cut short, also at the end of a line: within a kind, every seed has every metric at
    every step.
    """
    table = read_csv(path, COLUMNS)
    whole = not table["method"].isna().any()
    for kind, rows in table.groupby("kind"):
        whole &= len(rows) == rows["seed"].nunique() * rows["metric"].nunique() * rows["step"].nunique()
        whole &= set(needed.get(kind, ())) <= set(rows["metric"])
    if not whole or not set(needed) <= set(table["kind"]):
        raise InputError(f"{path}: not a whole table (rows are missing); {FIX}")
    return table
