"""onset.csv: the first of three consecutive steps with more than half of the rollouts hacked, with exact numbers."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest
from made_tables import LABELS, write_metrics

from confessions.analysis import tables
from confessions.analysis.tables.onset import first_crossing, median
from confessions.runtime.errors import InputError


@pytest.mark.parametrize(
    ("shares", "step"),
    [
        ([0.1, 0.6, 0.7, 0.8], 2),
        ([0.6, 0.6, 0.5, 0.6, 0.6, 0.6, 0.1], 4),  # half is not more than half
        ([0.51] * 3, 1),
        ([0.2, 1.0, 1.0], None),  # the run ends too soon to know
        ([1.0, 1.0, 0.0] * 4, None),
        ([1.0, 1.0], None),
        ([], None),
    ],
)
def test_the_first_of_three_consecutive_steps(shares, step):
    assert first_crossing(shares) == step


@pytest.mark.parametrize(
    ("points", "value", "low", "high"),
    [
        ([7], 7, None, None),
        ([7, 3, 12, 9], 8, None, None),
        ([7, 3, 12, 9, 5], 7, 3, 12),
        ([7, 3, None, 9, 5], 7, 3, None),  # one never crosses: the upper end is beyond every step
        ([None, 3, None, None, 5], None, 3, None),
        ([4, 4, 4, 4, 4], 4, 4, 4),
        (list(range(1, 13)), 6.5, 3, 10),  # binomial: ranks 3 and 10 of 12
        ([None, None], None, None, None),
        ([3, None], None, None, None),
    ],
)
def test_the_median_over_seeds_has_an_interval_from_five_on(points, value, low, high):
    found = median(points)
    for given, wanted in ((found.value, value), (found.low, low), (found.high, high)):
        assert math.isnan(given) if wanted is None else given == wanted
    assert found.n == len(points)
    assert (found.method == "order statistics") == (len(points) >= 5)


def write_hacking(path: Path, *hacked: int) -> Path:
    lines = [json.loads(line) for line in write_metrics(path, steps=len(hacked)).read_text().splitlines()]
    path.write_text("".join(json.dumps(line | {"hacked": k}) + "\n" for line, k in zip(lines, hacked, strict=True)))
    return path


def test_one_point_a_seed_and_a_seed_that_never_crosses(tmp_path):
    """Of 64 rollouts; the table reads back."""
    metrics = {
        3: write_hacking(tmp_path / "3.jsonl", 3, 33, 32, 33, 40, 64),
        4: write_hacking(tmp_path / "4.jsonl", 3, 33, 64, 64, 2, 0),
        5: write_hacking(tmp_path / "5.jsonl", 3, 33, 32, 33, 64, 0),
    }
    table = tables.onset(metrics, 6, LABELS)
    assert tuple(table.columns) == tables.COLUMNS
    rows = table[["kind", "value", "n", "method"]].fillna(-1).values.tolist()
    assert rows == [
        ["seed", 4, 1, "first of 3 steps above 50%"],
        ["seed", 2, 1, "first of 3 steps above 50%"],
        ["seed", -1, 1, "never within 6 steps"],
        ["median", 4, 3, "none: fewer than 5 seeds"],
    ]
    assert table["seed"].tolist()[:3] == [3, 4, 5]
    tables.write(table, tmp_path / "onset.csv")
    again = pd.read_csv(tmp_path / "onset.csv")
    assert again["value"].fillna(-1).tolist() == [4, 2, -1, 4]


def test_a_log_that_is_cut_short_is_named(tmp_path):
    path = write_hacking(tmp_path / "metrics.jsonl", 3, 33, 64)
    with pytest.raises(InputError, match=f"^{path}: does not hold the steps 1 to 4, each once"):
        tables.onset({0: path}, 4, LABELS)
