"""training.csv: what a training run logged, step by step. Column `kind`:

step                 a quantity of one training step: shares with an interval, others as logged
trend                the straight line through the shares, at each step
slope                its slope a step; `step` is the last one
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from confessions import tasks
from confessions.analysis.stats import Estimate, trend, wilson
from confessions.analysis.tables.base import COLUMNS
from confessions.runtime.errors import InputError
from confessions.runtime.files import FIX, read_jsonl
from confessions.training.counted import CALLED, SHARES


def training(metrics: Mapping[int, str | Path], steps: int, labels: Mapping[str, str]) -> pd.DataFrame:
    """Every logged quantity at each of `steps` steps, from each training seed's metrics.jsonl, with trends.

    InputError where a file is damaged or does not hold steps 1 to `steps`.
    """
    rows: list[dict[str, Any]] = []
    shares = (*SHARES, *tasks.get(labels["task"]).rates)
    for seed, path in metrics.items():
        logged = read_log(path, steps)
        for metric in [name for name in logged[0] if name not in ("step", "n")]:
            rows += [{"seed": seed, "metric": metric} | row for row in _quantity(metric, logged, metric in shares)]
    table = pd.DataFrame(rows).assign(**labels)
    table["progress"] = 100 * table["step"] / steps
    return table[list(COLUMNS)]


def read_log(path: str | Path, steps: int) -> list[dict[str, Any]]:
    """The quantities of each step in a metrics.jsonl, in order; where a step's time went is none of them.

    InputError where the file is damaged or does not hold steps 1 to `steps`.
    """
    logged = [
        {CALLED.get(name, name): x for name, x in line.items() if name != "timeline"} for line in read_jsonl(path)
    ]
    if [record.get("step") for record in logged] != list(range(1, steps + 1)):
        raise InputError(f"{path}: does not hold the steps 1 to {steps}, each once; {FIX}")
    if missing := [name for name in ("n", *SHARES) if any(name not in record for record in logged)]:
        raise InputError(f"{path}: {missing[0]!r} is missing; {FIX}")
    _check_numbers(path, logged)
    return logged


def _check_numbers(path: str | Path, logged: list[dict[str, Any]]) -> None:
    """InputError, with the line, at a quantity that is no number, or a count that is none out of n."""
    for number, record in enumerate(logged, start=1):
        n = record["n"]
        for name, value in record.items():
            counted = name in ("n", *SHARES)
            if not isinstance(value, int if counted else int | float | None) or isinstance(value, bool):
                what = "no count" if counted else "no number"
            elif counted and not 0 <= value <= n:
                what = f"no count out of {n}"
            else:
                continue
            raise InputError(f"{path}: line {number}: {name} is {reprlib.repr(value)}, {what}; {FIX}")


def _quantity(metric: str, logged: list[dict[str, Any]], share: bool) -> list[dict[str, Any]]:
    """The rows of one quantity: its value at each step and, for a share, its trend."""
    steps, k, n = ([record.get(name) for record in logged] for name in ("step", metric, "n"))
    if not share:
        values = [math.nan if value is None else value for value in k]
        plain = [Estimate(value, math.nan, math.nan, size, "as logged") for value, size in zip(values, n, strict=True)]
        return [{"kind": "step", "step": step, **vars(x)} for step, x in zip(steps, plain, strict=True)]
    rows = [{"kind": "step", "step": step, **vars(wilson(*pair))} for step, *pair in zip(steps, k, n, strict=True)]
    fit = trend(steps, k, n)
    line = fit.line(steps).assign(kind="trend", n=fit.slope.n, method=fit.slope.method)
    return [*rows, *line.to_dict("records"), {"kind": "slope", "step": steps[-1], **vars(fit.slope)}]
