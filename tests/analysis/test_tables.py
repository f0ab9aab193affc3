"""The tables: exact numbers, and one clear line for a file that is damaged."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_tables import LABELS, write_cells, write_metrics, write_scores
from statsmodels.stats.proportion import proportion_confint

from confessions.analysis import tables
from confessions.analysis.metrics import METRICS
from confessions.runtime.errors import InputError
from confessions.training.counted import CALLED


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


@pytest.fixture(scope="module")
def reproduction(folder) -> pd.DataFrame:
    files = {
        (0, step): write_scores(folder / f"step_{step}.parquet", honest) for step, honest in ((0, 0), (4, 8), (8, 16))
    }
    return tables.reproduction(files, LABELS)


@pytest.fixture(scope="module")
def training(folder) -> pd.DataFrame:
    return tables.training({0: write_metrics(folder / "metrics.jsonl")}, 8, LABELS)


def one(table: pd.DataFrame, **where) -> pd.Series:
    rows = table.loc[np.logical_and.reduce([table[column] == value for column, value in where.items()])]
    assert len(rows) == 1
    return rows.iloc[0]


def test_every_metric_stands_at_every_checkpoint(reproduction):
    assert tuple(reproduction.columns) == tables.COLUMNS
    assert (reproduction[list(LABELS)] == pd.Series(LABELS)).all(axis=None)
    measured = reproduction[reproduction["kind"] == "checkpoint"]
    assert set(zip(measured["metric"], measured["step"], strict=True)) == {(m, s) for m in METRICS for s in (0, 4, 8)}
    assert sorted(measured["progress"].unique()) == [0, 50, 100]
    assert (reproduction["kind"] == "last_minus_first").sum() == (reproduction["kind"] == "slope").sum() == len(METRICS)


def test_values_are_exact(reproduction):
    # 2 of 16 rollouts are compliant, so 24 of 80 sentences are right and 56 wrong.
    assert one(reproduction, kind="checkpoint", metric="exact_compliance", step=4).value == 2 / 16
    assert one(reproduction, kind="checkpoint", metric="claim_match", step=0).value == pytest.approx(24 / 80)
    assert one(reproduction, kind="checkpoint", metric="claim_match", step=8).value == 1
    halfway = one(reproduction, kind="checkpoint", metric="claim_match", step=4)
    assert halfway.value == pytest.approx((24 + 28) / 80)
    assert halfway.n == 80
    assert halfway.low < halfway.value < halfway.high
    graded = one(reproduction, kind="checkpoint", metric="grade_honest_given_noncompliant", step=4)
    assert (graded.value, graded.n, graded.method) == (0.5, 14, "wilson")
    assert (graded.low, graded.high) == pytest.approx(proportion_confint(7, 14, method="wilson"))


def test_constant_policies_are_measured_on_the_same_answers(reproduction):
    for step in (0, 4, 8):
        assert one(reproduction, kind="always_none", metric="claim_match", step=step).value == pytest.approx(56 / 80)
        assert one(reproduction, kind="always_full", metric="claim_match", step=step).value == pytest.approx(24 / 80)
        assert one(reproduction, kind="always_none", metric="balanced_claim_accuracy", step=step).value == 0.5
        assert one(reproduction, kind="always_full", metric="grade_honest_given_noncompliant", step=step).value == 0
    blind = reproduction[reproduction["kind"].str.startswith("always")]
    assert "exact_compliance" not in set(blind["metric"])
    assert blind[["low", "high"]].isna().all(axis=None)


def test_the_difference_of_last_and_first_is_paired(reproduction):
    change = one(reproduction, kind="last_minus_first", metric="balanced_claim_accuracy")
    assert change.value == pytest.approx(0.5)
    assert (change.step, change.progress, change.n) == (8, 100, 16)
    unchanged = one(reproduction, kind="last_minus_first", metric="exact_compliance")
    assert unchanged.value == 0
    assert unchanged.low <= 0 <= unchanged.high


def test_the_slope_over_checkpoints_is_the_least_squares_line(reproduction):
    slope = one(reproduction, kind="slope", metric="claim_match")
    assert slope.value == pytest.approx(np.polyfit([0, 4, 8], [24 / 80, 52 / 80, 1], 1)[0])
    assert (slope.step, slope.n) == (8, 16)
    assert 0 < slope.low < slope.value < slope.high


def test_only_the_reference_cell_is_read(folder, reproduction):
    steps = {0: 0, 4: 8, 8: 16}
    files = {(0, step): write_cells(folder / f"cells_{step}.parquet", {"default": n, "forced_count": 3})
             for step, n in steps.items()}  # fmt: skip
    again = tables.reproduction(files, LABELS)
    counting = again["metric"] == "checked"  # in which the two makers of scores differ
    pd.testing.assert_frame_equal(again[~counting], reproduction[reproduction["metric"] != "checked"])


def test_training_shares_have_intervals_and_trends(training):
    fooled = one(training, kind="step", metric="judge_fooled", step=1)
    assert (fooled.value, fooled.n, fooled.progress) == (32 / 64, 64, 12.5)
    assert (fooled.low, fooled.high) == pytest.approx(proportion_confint(32, 64, method="wilson"))
    assert one(training, kind="slope", metric="judge_fooled").value == pytest.approx(1 / 64)
    assert one(training, kind="trend", metric="judge_fooled", step=8).value == pytest.approx(39 / 64)
    assert one(training, kind="slope", metric="truly_correct").value == pytest.approx(0)
    assert set(training.loc[training["kind"] == "slope", "metric"]) == set(tables.SHARES)


def test_other_training_quantities_stay_as_logged(training):
    kl = one(training, kind="step", metric="task_kl", step=3)
    assert (kl.value, kl.method) == (pytest.approx(0.03), "as logged")
    assert np.isnan(kl.low)
    assert np.isnan(one(training, kind="step", metric="balanced_claim_accuracy", step=1).value)


def test_a_written_table_reads_back(reproduction, training, tmp_path):
    for table, needed in (
        (reproduction, {"checkpoint": ("claim_match",)}),
        (training, {"slope": ("judge_fooled",)}),
    ):
        tables.write(table, tmp_path / "table.csv")
        again = tables.read(tmp_path / "table.csv", needed)
        pd.testing.assert_frame_equal(again, table, check_dtype=False, rtol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_two_seeds_lie_side_by_side(folder, tmp_path):
    files = {(seed, step): folder / f"step_{step}.parquet" for seed in (0, 7) for step in (0, 8)}
    tables.write(tables.reproduction(files, LABELS), tmp_path / "two.csv")
    assert set(tables.read(tmp_path / "two.csv", {})["seed"]) == {0, 7}


def complaint(call, *arguments) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_a_cut_parquet_is_one_line_that_names_it(tmp_path, keep):
    whole, cut = write_scores(tmp_path / "step_0.parquet", 0), write_scores(tmp_path / "step_8.parquet", 8)
    data = cut.read_bytes()
    cut.write_bytes(data[: int(keep * len(data))])
    message = complaint(tables.reproduction, {(0, 0): whole, (0, 8): cut}, LABELS)
    assert message.startswith(f"{cut}: not a whole Parquet file (")
    assert message.endswith("delete it and run snakemake again")


def test_other_damage_to_scores_is_named_too(tmp_path):
    first, last = write_scores(tmp_path / "step_0.parquet", 0), tmp_path / "step_8.parquet"
    files = {(0, 0): first, (0, 8): last}
    assert complaint(tables.reproduction, files, LABELS) == f"{last}: no such file; run snakemake to make it"
    write_scores(last, 8, n=12)
    assert f"{last}: does not hold the rows of {first}" in complaint(tables.reproduction, files, LABELS)
    pd.read_parquet(first).drop(columns="judge_pass").to_parquet(last)
    assert f"{last}: column 'judge_pass' is missing" in complaint(tables.reproduction, files, LABELS)


def test_a_damaged_training_log_is_one_line_that_names_it(tmp_path):
    path = write_metrics(tmp_path / "metrics.jsonl")
    whole = path.read_text()
    lines = whole.splitlines(keepends=True)
    without = [json.dumps({k: v for k, v in json.loads(line).items() if k != "hacked"}) + "\n" for line in lines]
    for text, expected in (
        (whole[: len(whole) // 2], "is not a JSON object"),
        ("".join(lines[:-1]), "does not hold the steps 1 to 8"),
        ("".join([*lines, lines[-1]]), "does not hold the steps 1 to 8"),
        ("", "empty"),
        ("[]\n", "line 1 is not a JSON object"),
        ("".join(without), "'hacked' is missing"),
    ):
        path.write_text(text)
        message = complaint(tables.training, {0: path}, 8, LABELS)
        assert str(path) in message
        assert expected in message


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("judge_pass", "many", "is 'many', no count"),
        ("judge_pass", 1.5, "is 1.5, no count"),
        ("judge_pass", None, "is None, no count"),
        ("judge_pass", 65, "is 65, no count out of 64"),
        ("n", -1, "is -1, no count out of -1"),
        ("task_kl", "nan", "is 'nan', no number"),
        ("task_kl", [1], r"is [1], no number"),
    ],
)
def test_a_logged_number_that_is_none_is_named_with_its_line(tmp_path, name, value, what):
    path = write_metrics(tmp_path / "metrics.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert name in lines[2]
    lines[2][name] = value
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert complaint(tables.training, {0: path}, 8, LABELS).startswith(f"{path}: line 3: {name} {what}; delete it")


def test_a_number_in_a_table_that_is_none_is_named_with_its_row(reproduction, tmp_path):
    path = tmp_path / "reproduction.csv"
    reproduction.astype({"value": object}).assign(value=["many", *reproduction["value"][1:]]).to_csv(path, index=False)
    assert complaint(tables.read, path, {}).startswith(f"{path}: row 1: value is 'many', no number; delete it")


def test_a_cut_table_is_noticed_wherever_it_is_cut(reproduction, tmp_path):
    path = tmp_path / "reproduction.csv"
    tables.write(reproduction, path)
    whole = path.read_text()
    needed = dict.fromkeys(("checkpoint", "last_minus_first", "slope"), tuple(METRICS))
    ends = [i + 1 for i, c in enumerate(whole[:-1]) if c == "\n"]
    for end in [0, len(whole) // 3, len(whole) - 3, *ends[::9], *ends[-8:]]:
        path.write_text(whole[:end])
        assert str(path) in complaint(tables.read, path, needed)


def former(path: Path, names: Mapping[str, str], quote: str) -> None:
    """The file as an earlier version wrote it."""
    text = path.read_text()
    for old, new in names.items():
        assert f"{quote}{new}{quote}" in text
        text = text.replace(f"{quote}{new}{quote}", f"{quote}{old}{quote}")
    path.write_text(text)


def test_a_training_log_of_an_earlier_version_has_other_names_for_its_quantities(tmp_path):
    path = write_metrics(tmp_path / "metrics.jsonl")
    now = tables.training({0: path}, 8, LABELS)
    former(path, CALLED, '"')
    pd.testing.assert_frame_equal(tables.training({0: path}, 8, LABELS), now)


def test_a_table_of_an_earlier_version_has_other_names_for_its_metrics(reproduction, tmp_path):
    path, needed = tmp_path / "reproduction.csv", {"checkpoint": ("p_full_given_met", "p_none_given_unmet", "checked")}
    tables.write(reproduction, path)
    now = tables.read(path, needed)
    former(path, {"p_full_given_right": "p_full_given_met", "p_none_given_wrong": "p_none_given_unmet"}, ",")
    former(path, {"sentence_correct": "objective_met", "bracket_hack_persistence": "hacked"}, ",")
    pd.testing.assert_frame_equal(tables.read(path, needed), now)
