"""stress_grid.csv, scale.csv, ladder.csv and verification.csv: exact numbers, empty cells, damaged files."""

import math

import pandas as pd
import pytest
from made_tables import CONDITIONS, LABELS, RIVALS, made_by_model, made_stress_grid, write_cells
from statsmodels.stats.proportion import proportion_confint
from test_tables import complaint, one

from confessions.analysis import tables
from confessions.analysis.metrics import METRICS

REPORT_METRICS = {name for name, metric in METRICS.items() if metric.reads_report}
MODEL_LABELS = {"big": "Big 8M", "small": "Small 2M"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    return {(0, step): write_cells(folder / f"step_{step}.parquet") for step in (0, 8)}


@pytest.fixture(scope="module")
def grid(files) -> pd.DataFrame:
    return tables.stress_grid(files, LABELS)


@pytest.fixture(scope="module")
def by_model(tmp_path_factory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("models")
    files = {"small": write_cells(folder / "small.parquet", {"default": 2, "forced_count": 2}, ["baseline"]),
             "big": write_cells(folder / "big.parquet", {"default": 4, "forced_count": 12}, ["baseline"])}  # fmt: skip
    return tables.by_model(files, MODEL_LABELS, LABELS)


@pytest.fixture(scope="module")
def verification(files) -> pd.DataFrame:
    return tables.verification(files, {"big": files[0, 0]}, LABELS, MODEL_LABELS)


def test_the_grid_holds_every_metric_of_every_cell(grid):
    assert tuple(grid.columns) == tables.GRID_COLUMNS
    assert (grid[list(LABELS)] == pd.Series(LABELS)).all(axis=None)
    places = grid.groupby("kind").apply(lambda rows: len(rows.value_counts(["seed", "step", "condition", "variant"])))
    assert dict(places) == {"cell": 20, **dict.fromkeys(RIVALS, 20), "minus_baseline": 16, "minus_default": 10}
    for kind, rows in grid.groupby("kind"):
        expected = REPORT_METRICS if kind in RIVALS else set(METRICS)
        assert set(rows["metric"]) == expected
        assert len(rows) == places[kind] * len(expected)
    assert list(dict.fromkeys(grid["condition"])) == list(CONDITIONS)
    assert set(zip(grid["step"], grid["progress"], strict=True)) == {(0, 0), (8, 100)}


def test_a_condition_in_several_wordings(tmp_path):
    """Of 16 rollouts 12 are honest at first, and one fewer a condition. One of four wordings of soft is held out."""
    conditions = ["baseline", "soft", "hard", "soft-2", "soft-3", "soft-held-out"]
    files = {(1, step): write_cells(tmp_path / f"{step}.parquet", conditions=conditions) for step in (0, 8)}
    table, grid = tables.wordings(files, LABELS), tables.stress_grid(files, LABELS)
    assert tuple(table.columns) == tables.GRID_COLUMNS
    assert set(table["condition"]) == {"soft"}
    assert len(table) == 2 * 2 * 4 * len(METRICS)
    at = {"step": 8, "variant": "forced_count", "metric": "claim_match"}
    values = [one(grid, **at, kind="cell", condition=name).value for name in ("soft", "soft-2", "soft-3")]
    assert values == pytest.approx([(24 + 4 * n) / 80 for n in (9, 7, 7)])  # honest and not compliant
    found = {kind: one(table, **at, kind=kind) for kind in ("mean", "between", "noise", "held_out_minus_mean")}
    assert found["mean"].value == pytest.approx((0.75 + 0.65 + 0.65) / 3)
    assert found["between"].value == pytest.approx(0.1 / math.sqrt(3))
    assert (found["between"].n, found["noise"].n) == (3, 16)
    assert 0.01 < found["noise"].value < 0.06
    held_out = one(grid, **at, kind="cell", condition="soft-held-out").value
    assert found["held_out_minus_mean"].value == pytest.approx(held_out - 2.05 / 3)
    assert found["held_out_minus_mean"].low < found["held_out_minus_mean"].value < found["held_out_minus_mean"].high
    few = write_cells(tmp_path / "few.parquet", conditions=["baseline", "soft", "soft-held-out"])
    alone = tables.wordings({(0, 0): few}, LABELS)
    assert alone.loc[alone["kind"] == "between", "value"].isna().all()
    assert one(alone, **at | {"step": 0}, kind="mean").value == one(grid, **at, kind="cell", condition="soft").value


def test_values_of_cells_are_exact(grid):
    # 4 honest rollouts under baseline, 3 of them not compliant; 1 honest one less a condition, 8 more when forced
    at = {"kind": "cell", "step": 8, "metric": "claim_match"}
    assert one(grid, **at, condition="baseline", variant="default").value == pytest.approx((24 + 3 * 4) / 80)
    assert one(grid, **at, condition="hard", variant="default").value == pytest.approx(24 / 80)
    assert one(grid, **at, condition="hard", variant="forced_count").value == pytest.approx((24 + 7 * 4) / 80)
    graded = one(grid, **(at | {"metric": "grade_honest_given_noncompliant"}), condition="soft", variant="default")
    assert (graded.value, graded.n, graded.method) == (pytest.approx(1 / 14), 14, "wilson")
    assert (graded.low, graded.high) == pytest.approx(proportion_confint(1, 14, method="wilson"))
    blind = one(grid, **(at | {"kind": "always_none"}), condition="soft", variant="default")
    assert (blind.value, blind.n) == (56 / 80, 80)
    assert math.isnan(blind.low)


def test_differences_are_paired_with_the_right_cell(grid):
    at = {"step": 0, "metric": "claim_match"}
    hard = one(grid, **at, kind="minus_baseline", condition="hard", variant="forced_count")
    assert hard.value == pytest.approx(-3 * 4 / 80)
    assert hard.n == 16
    assert hard.low < hard.value < hard.high
    forced = one(grid, **at, kind="minus_default", condition="hard", variant="forced_count")
    assert forced.value == pytest.approx(7 * 4 / 80)
    # Row by row 7 of 16 rollouts gain 4 of 5 sentences: known better than from 2 independent cells.
    assert 0.1 < forced.low < forced.high < 0.6
    assert forced.method == "cluster-robust t"


def test_both_variants_ask_about_the_same_answer(grid):
    answers = grid[(grid["kind"] == "minus_default") & grid["metric"].isin(["exact_compliance", "objective_met"])]
    assert (answers["value"] == 0).all()
    assert (answers["method"] == "newcombe over rollouts").all()
    assert ((answers["low"] < 0) & (answers["high"] > 0)).all()


def test_a_grid_reads_back_whole_or_not_at_all(grid, tmp_path):
    path = tmp_path / "stress_grid.csv"
    tables.write(grid, path)
    needed = {"cell": tuple(METRICS), "minus_baseline": tuple(METRICS), "minus_default": ("claim_match",)}
    pd.testing.assert_frame_equal(
        tables.read(path, needed, tables.GRID_COLUMNS), grid, check_dtype=False, rtol=1e-5, atol=1e-9
    )
    whole = path.read_text().splitlines(keepends=True)
    for end in (len(whole) - 1, len(whole) // 2, 300):
        path.write_text("".join(whole[:end]))
        assert "rows are missing" in complaint(tables.read, path, needed, tables.GRID_COLUMNS)


@pytest.mark.parametrize("variants", [{"default": 16}, {"default": 16, "forced_count": 16}])
def test_nothing_to_count_is_nan_and_n_0(tmp_path, variants):
    """Every answer is right, so there is no wrong sentence and no failed answer."""
    path = write_cells(tmp_path / "step_0.parquet", variants, CONDITIONS[:2], compliant=True)
    grid = tables.stress_grid({(0, 0): path}, LABELS)
    empty = ["grade_honest_given_noncompliant", "p_none_given_unmet", "balanced_claim_accuracy", "false_label_rate"]
    empty += ["confessed_given_hack"]
    apart = ("within_kind_balanced_accuracy", "auroc", "within_kind_auroc", "swap")  # of what is met and what is not
    empty += [name + end for name in apart for end in ("", "_valid")]
    empty += [name for name in METRICS if name.startswith("token_") or "finding" in name]  # none is asked for
    rows = grid[grid["metric"].isin(empty)]
    assert rows[["value", "low", "high"]].isna().all(axis=None)
    assert (rows["n"] == 0).all()
    others = grid[~grid["metric"].isin(empty)]
    assert others["value"].notna().all()
    assert (others["n"] > 0).all()
    assert not grid["method"].isna().any()
    tables.write(grid, tmp_path / "grid.csv")
    tables.read(tmp_path / "grid.csv", {"cell": tuple(METRICS)}, tables.GRID_COLUMNS)


def test_models_stand_in_the_order_given(by_model):
    assert tuple(by_model.columns) == tables.MODEL_COLUMNS
    names = dict.fromkeys(zip(by_model["position"], by_model["model"], by_model["label"], strict=True))
    assert list(names) == [(0, "small", "Small 2M"), (1, "big", "Big 8M")]
    assert set(by_model["kind"]) == {"model", *RIVALS, "minus_default"}
    forced = one(by_model, model="big", kind="minus_default", metric="claim_match", variant="forced_count")
    assert forced.value == pytest.approx((12 - 4 - 1) * 4 / 80)  # row 8 is compliant
    unmoved = one(by_model, model="small", kind="minus_default", metric="claim_match", variant="forced_count")
    assert (unmoved.value, unmoved.method) == (0, "newcombe over rollouts")
    six = ["correct_credit", "under_claim", "clean_admission", "hedged", "over_claim", "unclaimed"]
    shares = by_model[(by_model["kind"] == "model") & by_model["metric"].isin(six)]
    assert shares.groupby(["model", "variant"])["value"].sum().tolist() == pytest.approx([1] * 4)


def test_claims_given_the_count(verification):
    assert tuple(verification.columns) == tables.VERIFICATION_COLUMNS
    assert set(verification["kind"]) == {"cell", "verified", "unverified", "difference", "removed"}
    at = {"model": "nano", "seed": 0, "step": 8, "condition": "baseline", "variant": "default"}
    assert one(verification, **at, kind="cell").value == 4 / 16
    assert one(verification, **at, kind="verified", metric="claim_match").value == 1
    assert one(verification, **at, kind="verified", metric="claim_match").n == 20
    # 12 rollouts did not count: 1 is compliant, 11 over-claim 4 of 5 sentences
    unverified = one(verification, **at, kind="unverified", metric="over_claim")
    assert (unverified.value, unverified.n) == (pytest.approx(44 / 60), 60)
    difference = one(verification, **at, kind="difference", metric="over_claim")
    assert (difference.value, difference.n) == (pytest.approx(-44 / 60), 16)
    assert difference.low < difference.value < difference.high < 0
    plain = verification[verification["model"] == "big"]
    assert plain["seed"].isna().all()
    assert set(plain["condition"]) == {"baseline"}
    assert (plain["label"] == "Big 8M").all()


def test_forced_counting_removes_a_share_of_the_incorrect_claims(verification):
    at = {"model": "nano", "step": 0, "kind": "removed", "variant": "forced_count"}
    removed = one(verification, **at, condition="baseline", metric="incorrect_claim")
    # 11 of 14 failed answers are over-claimed in 4 sentences by default, 4 when counting is forced
    assert (removed.value, removed.n) == (pytest.approx(1 - 16 / 44), 44)
    assert 0.2 < removed.low < removed.value < removed.high < 1
    assert one(verification, **at, condition="baseline", metric="over_claim").value == pytest.approx(removed.value)
    assert (verification["kind"] == "removed").sum() == 2 * (2 * len(CONDITIONS) + 1)


def test_no_rollout_counts_or_all_do(tmp_path):
    path = write_cells(tmp_path / "s.parquet", {"default": 0, "forced_count": 16}, ["baseline"])
    table = tables.verification({(0, 0): path}, {}, LABELS, {})
    for variant, empty in (("default", "verified"), ("forced_count", "unverified")):
        for kind in (empty, "difference"):
            row = one(table, kind=kind, variant=variant, metric="claim_match")
            assert math.isnan(row.value)
            assert row.n == 0
    removed = one(table, kind="removed", metric="incorrect_claim")
    assert (removed.value, removed.n, removed.high) == (1, 56, 1)  # all of them; the interval says of how few
    assert 0.7 < removed.low < 1
    assert removed.method == "score over rollouts"


def test_damaged_or_mismatched_scores_are_named(tmp_path, files):
    first, path = files[0, 0], tmp_path / "step_8.parquet"
    whole = pd.read_parquet(first)

    def said(frame: pd.DataFrame) -> str:
        frame.to_parquet(path)
        message = complaint(tables.stress_grid, {(0, 0): first, (0, 8): path}, LABELS)
        assert message.startswith(f"{path}: ")
        assert message.endswith("delete it and run snakemake again")
        return message

    hard = whole["condition"] == "hard"
    forced = hard & (whole["variant"] == "forced_count")
    assert "no rollouts of hard / forced_count" in said(whole[~forced])
    assert "no rollouts of hard / default" in said(whole[~hard])
    assert "no rollouts of baseline / default" in said(whole[whole["condition"] != "baseline"])
    assert "hard / forced_count does not hold the rows of baseline / default" in said(
        whole.drop(whole.index[forced][3])
    )
    assert "each once" in said(pd.concat([whole, whole[forced].head(1)]))
    assert "column 'checked' is missing" in said(whole.drop(columns="checked"))
    assert "column 'kinds' is missing" in said(whole.drop(columns="kinds"))  # of an older version: score it again
    for odd in ([0.5] * 4, [0.5] * 4 + [1.01], [0.5] * 4 + [float("nan")]):
        listed = [None, odd, *[None] * (len(whole) - 2)]
        assert "row 2: p_met is [0.5, 0.5, 0.5, 0.5" in said(whole.assign(p_met=listed))
    assert "unexpected rollouts of odd / " in said(pd.concat([whole, whole[hard].assign(condition="odd")]))
    path.write_bytes(first.read_bytes()[:-100])
    assert "not a whole Parquet file" in complaint(tables.by_model, {"a": path}, {"a": "A"}, LABELS)
    assert "no such file" in complaint(tables.verification, {(0, 0): tmp_path / "none"}, {}, LABELS, {})


def test_made_tables_look_like_the_real_ones(grid, by_model, tmp_path):
    """The figures are tested on these."""
    for made, real, columns in (
        (made_stress_grid(tmp_path / "grid.csv", steps=(0, 8)), grid, tables.GRID_COLUMNS),
        (made_by_model(tmp_path / "models.csv"), by_model, tables.MODEL_COLUMNS),
    ):
        made = tables.read(made, {}, columns)
        assert list(made.columns) == list(real.columns)
        for column in {"condition", "variant", "metric", "kind"} & set(columns):
            assert set(made[column]) == set(real[column])
    pd.testing.assert_series_equal(
        tables.read(tmp_path / "grid.csv", {}, tables.GRID_COLUMNS).value_counts(["kind", "variant", "step"]),
        grid.value_counts(["kind", "variant", "step"]),
    )
