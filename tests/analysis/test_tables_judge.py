"""judge.csv: the confusion matrix, the rates and the probabilities, with exact numbers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_tables import LABELS, write_cells
from statsmodels.stats.proportion import proportion_confint

from confessions.analysis import tables
from confessions.runtime.errors import InputError

CONDITIONS = ("baseline", "hard")
COUNTS = ("true_pass", "false_pass", "true_fail", "false_fail")
RATES = ("accuracy", "sensitivity", "specificity", "precision", "judge_fooled")
PROBABILITIES = ("mean_p_pass", "brier", "mean_mass", "auroc")


def write_judged(path: Path, passing: int | None, compliant: bool = False) -> Path:
    """16 rollouts a cell, rows 0 and 8 compliant (or all); a model passes the first `passing` of baseline, all of hard.

    It gives Pass 3 or 1 of 4 parts of what the two words have. None: the judge that believes the labels passes all.
    """
    scores = pd.read_parquet(write_cells(path, conditions=CONDITIONS, compliant=compliant))
    if passing is None:
        judged = {"judge": "label_trusting", "judge_prompt": None, "judge_p_pass": np.nan, "judge_mass": np.nan}
    else:
        passes = (scores["row"] < passing) | (scores["condition"] == "hard")
        judged = {"judge": "llm:tiny", "judge_prompt": "judge-0123", "judge_pass": passes}
        judged |= {"judge_p_pass": np.where(passes, 0.75, 0.25), "judge_mass": 0.9}
    scores.assign(**judged).to_parquet(path)
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("judged")
    files = {(0, 0): write_judged(folder / "a.parquet", 8), (0, 4): write_judged(folder / "b.parquet", 8, True)}
    return tables.judge(files, LABELS)


def one(table: pd.DataFrame, metric: str, condition: str = "baseline", step: int = 0) -> pd.Series:
    rows = table[(table["metric"] == metric) & (table["condition"] == condition) & (table["step"] == step)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_every_checkpoint_and_condition_has_every_number_once(table):
    assert tuple(table.columns) == tables.JUDGE_COLUMNS
    assert (table[list(LABELS)] == pd.Series(LABELS)).all(axis=None)
    assert set(table["judge"]) == {"llm:tiny"}
    assert set(table["judge_prompt"]) == {"judge-0123"}
    every = {(m, kind, c, s) for kind, metrics in (("count", COUNTS), ("rate", RATES), ("probability", PROBABILITIES))
             for m in metrics for c in CONDITIONS for s in (0, 4)}  # fmt: skip
    found = list(table[["metric", "kind", "condition", "step"]].itertuples(index=False, name=None))
    assert set(found) == every
    assert len(found) == len(every)
    assert set(table["progress"]) == {0, 100}


@pytest.mark.parametrize(
    ("metric", "condition", "k", "n"),
    [
        ("true_pass", "baseline", 1, 16), ("false_pass", "baseline", 7, 16), ("true_fail", "baseline", 7, 16),
        ("false_fail", "baseline", 1, 16), ("accuracy", "baseline", 8, 16), ("sensitivity", "baseline", 1, 2),
        ("specificity", "baseline", 7, 14), ("precision", "baseline", 1, 8), ("judge_fooled", "baseline", 7, 16),
        ("true_pass", "hard", 2, 16), ("false_pass", "hard", 14, 16), ("true_fail", "hard", 0, 16),
        ("false_fail", "hard", 0, 16), ("accuracy", "hard", 2, 16), ("sensitivity", "hard", 2, 2),
        ("specificity", "hard", 0, 14), ("precision", "hard", 2, 16), ("judge_fooled", "hard", 14, 16),
    ],
)  # fmt: skip
def test_counts_and_rates(table, metric, condition, k, n):
    """Each answer once, though two variants ask about it."""
    row = one(table, metric, condition)
    assert (row.k, row.n, row.value, row.method) == (k, n, k / n, "wilson")
    assert (row.low, row.high) == pytest.approx(proportion_confint(k, n, method="wilson"))


def test_probabilities(table):
    """Brier: 1 right and 7 wrong ones at .75, 1 right and 7 wrong ones at .25."""
    for metric, value in (("mean_p_pass", 0.5), ("brier", (8 * 0.25**2 + 8 * 0.75**2) / 16), ("mean_mass", 0.9)):
        row = one(table, metric)
        assert (row.value, row.n) == (pytest.approx(value), 16)
        assert row.low < row.value < row.high
        assert row.k is pd.NA


def test_the_area_under_the_curve_of_sampled_answers(table):
    """Compliant: one at .75, one at .25; others: 7 at each. Of the 28 pairs 7 + 7 / 2 + 7 / 2 go to the compliant."""
    row = one(table, "auroc")
    assert (row.value, row.n) == (0.5, 16)
    undefined = one(table, "auroc", step=4)  # every answer is compliant
    assert np.isnan(undefined.value)
    assert (undefined.n, undefined.method) == (0, "bootstrap by class")


def test_what_has_no_answers_is_empty(table):
    """Where all answers are compliant there is no specificity, and nothing can fool the judge."""
    row = one(table, "specificity", step=4)
    assert (row.k, row.n) == (0, 0)
    assert np.isnan(row.value)
    assert np.isnan(row.low)
    assert (one(table, "judge_fooled", step=4).value, one(table, "sensitivity", step=4).value) == (0, 8 / 16)


def test_the_label_trusting_judge_has_no_probabilities(tmp_path):
    """The table is whole all the same, and reads back."""
    table = tables.judge({(0, 0): write_judged(tmp_path / "a.parquet", None)}, LABELS)
    assert set(table["judge"]) == {"label_trusting"}
    assert table["judge_prompt"].isna().all()
    empty = table[table["kind"] == "probability"]
    assert empty[["value", "low", "high"]].isna().all(axis=None)
    assert set(empty["n"]) == {0}
    assert one(table, "judge_fooled").value == 14 / 16
    tables.write(table, tmp_path / "judge.csv")
    needed = {"count": COUNTS, "rate": RATES, "probability": PROBABILITIES}
    again = tables.read(tmp_path / "judge.csv", needed, tables.JUDGE_COLUMNS)
    assert again["judge_prompt"].isna().all()
    comparable = [t.drop(columns="judge_prompt").astype({"k": float}) for t in (again, table)]
    pd.testing.assert_frame_equal(*comparable, check_dtype=False, rtol=1e-5)


def test_scores_of_before_are_one_line(tmp_path):
    path = write_cells(tmp_path / "old.parquet")
    with pytest.raises(InputError) as caught:
        tables.judge({(0, 0): path}, LABELS)
    assert str(caught.value) == f"{path}: column 'judge' is missing; delete it and run snakemake again"
