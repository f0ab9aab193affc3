"""The result tables, tidy: one number a row, with its interval, its n and how the interval was made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from confessions.errors import InputError
from confessions.files import FIX, published, read_csv

COLUMNS = (
    "experiment", "task", "model", "source", "seed", "kind", "step", "progress", "metric",
    "value", "low", "high", "n", "method",
)  # fmt: skip


def write(table: pd.DataFrame, path: str | Path) -> None:
    """Publish a table as CSV."""
    with published(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")


def read(path: str | Path) -> pd.DataFrame:
    """Read a table. InputError where it is cut short, also at the end of a line: every seed has every row of a kind."""
    table = read_csv(path, COLUMNS)
    cells = table.groupby(["kind", "step", "metric"])["seed"].nunique()
    if (cells != table["seed"].nunique()).any() or table["method"].isna().any():
        raise InputError(f"{path}: not a whole CSV file (rows are missing); {FIX}")
    return table
