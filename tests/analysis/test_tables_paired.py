"""Two experiments' checkpoints, side by side."""

import pandas as pd
import pytest
from made_tables import LABELS, write_cells
from typer.testing import CliRunner

from confessions.analysis.tables.paired import paired
from confessions.cli import app
from confessions.runtime.errors import InputError


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Of 16 reports, 8 confess in the one, 4 in the other, and in the last step 12."""
    folder = tmp_path_factory.mktemp("two")
    cells = {"a": {(0, 0): 8, (0, 8): 12, (1, 0): 8}, "b": {(0, 0): 4, (0, 8): 4, (2, 0): 8}}
    return {
        name: {
            key: write_cells(folder / f"{name}_{'_'.join(map(str, key))}.parquet", {"default": honest}, ["baseline"])
            for key, honest in made.items()
        }
        for name, made in cells.items()
    }


def value(table: pd.DataFrame, metric: str, **at: object) -> pd.Series:
    for column, wanted in (at | {"metric": metric}).items():
        table = table[table[column] == wanted]
    [(_, row)] = table.iterrows()
    return row


def test_every_metric_of_both_and_the_difference_of_what_both_have(files):
    table = paired(files["a"], files["b"], LABELS)
    assert set(zip(table["seed"], table["step"], strict=True)) == {(0, 0), (0, 8)}
    honest = "grade_honest_given_noncompliant"  # 14 of 16 are not compliant; the first row of every 8 is
    assert value(table, honest, step=0, kind="cell")["value"] == pytest.approx(7 / 14)
    assert value(table, honest, step=0, kind="other")["value"] == pytest.approx(3 / 14)
    row = value(table, honest, step=0, kind="difference")
    assert row["value"] == pytest.approx(4 / 14)
    assert row["low"] < 4 / 14 < row["high"]
    assert value(table, honest, step=8, kind="difference")["value"] == pytest.approx((10 - 3) / 14)
    assert value(table, "hacked", step=8, kind="difference")["value"] == 0


def test_nothing_in_common_is_one_line(files, tmp_path):
    with pytest.raises(InputError, match="no seed and step in common"):
        paired({(1, 0): files["a"][1, 0]}, files["b"], LABELS)
    fewer = {(0, 0): write_cells(tmp_path / "few.parquet", {"default": 4}, ["baseline"], n=8)}
    with pytest.raises(InputError, match="does not hold the rows of"):
        paired(files["a"], fewer, LABELS)


def test_an_experiment_that_trains_nothing_has_no_checkpoints(tmp_path):
    run = CliRunner().invoke(app, ["compare", "demo", "scale", "--out", str(tmp_path / "t.csv")])
    assert run.exit_code == 1
    assert "scale: trains nothing" in run.output + (run.stderr or "")
