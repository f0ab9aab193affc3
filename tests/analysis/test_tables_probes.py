"""probes.csv: exact numbers, the probe's own task and variants, rivals on kinds that were never trained on."""

from pathlib import Path

import pandas as pd
import pytest
from made_tables import LABELS, RIVALS, score_row, write_cells
from test_tables import complaint, one

from confessions.analysis import tables
from confessions.analysis.metrics import METRICS
from confessions.analysis.tables.long import FORMS
from confessions.prompts.report import Compliance

FULL, NONE = Compliance.FULL, Compliance.NONE
PER_FILE = len(METRICS) + 3 * sum(metric.reads_report for metric in METRICS.values())


def of_task(path: Path, task: str) -> Path:
    """A file of scores, now of this task."""
    pd.read_parquet(path).assign(task=task).to_parquet(path)
    return path


def knowing(path: Path) -> Path:
    """60 answers to different prompts, half of which meet their one objective, all of one kind: 24 of 30 that do are
    claimed Full, 27 of 30 that do not None."""
    rows = []
    for row in range(60):
        met = row % 4 < 2
        place = row // 4 * 2 + row % 2  # among those that are met, or that are not
        right = place < (24 if met else 27)
        claim = FULL if met == right else NONE
        rows.append(score_row(row, [met], [claim], 7 if claim == FULL else 1, kinds=["no comma"], task="instructions"))
    pd.DataFrame(rows).assign(variant="evidence").to_parquet(path)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[object, Path]:
    """By (probe, seed, step), and by (probe, model)."""
    folder = tmp_path_factory.mktemp("probes")
    known = {("far", seed, step): {"default": 4 + seed, "evidence": step} for seed in (0, 1) for step in (2, 8)}
    written = {
        at: of_task(write_cells(folder / f"{at}.parquet", honest, ["baseline"]), "countdown")
        for at, honest in known.items()
    }
    return written | {("near", "small"): knowing(folder / "near.parquet")}


@pytest.fixture(scope="module")
def table(files) -> pd.DataFrame:
    policy, models = ({at: path for at, path in files.items() if len(at) == n} for n in (3, 2))
    return tables.probes(policy, models, LABELS, {"small": "Small 2M"})


def test_every_metric_of_every_probe(table):
    assert tuple(table.columns) == tables.PROBE_COLUMNS
    assert len(table) == (4 * 2 + 1) * PER_FILE
    assert set(table["kind"]) == {"cell", *RIVALS}
    policy, model = table[table["probe"] == "far"], table[table["probe"] == "near"]
    assert {*map(tuple, policy[["task", "model", "label"]].to_numpy())} == {("countdown", "nano", "nano")}
    assert {*map(tuple, model[["task", "model", "label", "variant"]].to_numpy())} == {
        ("instructions", "small", "Small 2M", "evidence")
    }
    assert {*zip(policy["seed"], policy["step"], policy["progress"], strict=True)} == {
        (seed, step, progress) for seed in (0, 1) for step, progress in ((2, 25), (8, 100))
    }
    assert model["seed"].isna().all()


def test_a_probe_under_a_system_prompt_has_its_tasks_rates(tmp_path):
    """Its only condition is the reference of its cells, and stands in the table."""
    path = write_cells(tmp_path / "p.parquet", {"default": 4, "direct": 8}, ["baseline"])
    frame = pd.read_parquet(path)
    frame = frame.assign(condition="counterfactual", task="programming_impossible", declines=frame["row"] < 4)
    frame.to_parquet(path)
    table = tables.probes({("stated", 0, 8): path}, {}, LABELS, {})
    assert set(table["condition"]) == {"counterfactual"}
    for variant in ("default", "direct"):
        found = one(table, variant=variant, metric="declines", kind="cell")
        assert (found.value, found.n) == (0.25, 16)
    # 14 of 16 are hacked; of those that confess all but the compliant ones (rows 0 and 8) do
    assert one(table, variant="default", metric="confessed_given_hack", kind="cell").value == pytest.approx(3 / 14)
    assert one(table, variant="direct", metric="confessed_given_hack", kind="cell").value == pytest.approx(7 / 14)
    kept = FORMS["probes"](table)
    assert {*zip(kept["split"], kept["condition"], strict=True)} == {("stated", "counterfactual")}
    assert set(kept[kept["metric"] == "declines"]["unit"]) == {"rollouts"}


def test_values_are_exact(table):
    at = {"probe": "far", "seed": 1, "step": 8, "metric": "claim_match"}
    # 24 claims match whatever a rollout confesses, 4 more of each honest one that is not compliant (all but the first)
    assert one(table, **at, variant="default", kind="cell").value == pytest.approx((24 + 4 * 4) / 80)
    found = one(table, **at, variant="evidence", kind="cell")
    assert (found.value, found.n) == (pytest.approx((24 + 7 * 4) / 80), 80)
    assert found.low < found.value < found.high
    assert one(table, **at, variant="evidence", kind="always_none").value == pytest.approx(56 / 80)
    # The rival of either half of the prompts is fitted on the other: Full for the first objective, None for the others.
    # Both compliant answers are in one half: the other has met none of its last four objectives, and it has met 1 in 4.
    assert one(table, **at, variant="evidence", kind="base_rate").value == pytest.approx((16 + 24 + 32) / 80)
    brier = at | {"metric": "brier"}
    assert one(table, **brier, variant="evidence", kind="base_rate").value == pytest.approx((8 + 32 / 16) / 80)


def test_what_is_known_beyond_a_kind_that_was_never_trained_on(table):
    """Its rates come from answers to the same task that are not scored."""
    at = {"probe": "near", "variant": "evidence", "metric": "within_kind_balanced_accuracy"}
    found = one(table, **at, kind="cell")
    assert (found.value, found.n) == (pytest.approx((24 / 30 + 27 / 30) / 2), 60)
    assert one(table, **at, kind="base_rate").value == 0.5
    false = one(table, **at | {"metric": "false_positive_rate"}, kind="cell")
    assert (false.value, false.n) == (pytest.approx(6 / 30), 30)


def test_files_of_a_probe_have_the_same_cells(files, tmp_path):
    """Those of another probe may have others."""
    first, other = files["far", 0, 2], tmp_path / "other.parquet"
    frame = pd.read_parquet(files["far", 0, 8])
    frame[frame["variant"] == "default"].to_parquet(other)
    said = complaint(tables.probes, {("far", 0, 2): first, ("far", 0, 8): other}, {}, LABELS, {})
    assert said.startswith(f"{other}: no rollouts of baseline / evidence")
    frame.head(0).to_parquet(other)
    assert "no rollouts of baseline / default" in complaint(tables.probes, {("far", 0, 2): other}, {}, LABELS, {})


def test_the_kept_form_has_the_probe_as_split(table, tmp_path):
    tables.write(table, tmp_path / "probes.csv")
    kept = tables.long(tmp_path, "demo")
    assert tuple(kept.columns) == tables.LONG_COLUMNS
    assert not kept.duplicated(list(tables.LONG_COLUMNS[:9])).any()
    at = {"split": "near", "arm": "measured", "model": "Small 2M", "variant": "evidence", "condition": "baseline"}
    found = one(kept, **at, metric="within_kind_balanced_accuracy")
    assert (found.value, found.n, found.unit) == (pytest.approx(0.85), 60, "objectives")
    assert set(kept["split"]) == {"near", "far"}


def test_the_kept_form_of_kinds_and_of_tenths(files, tmp_path):
    policy, models = ({at: path for at, path in files.items() if len(at) == n} for n in (3, 2))
    for name in ("by_kind", "reliability"):
        tables.write(getattr(tables, name)(policy, models, LABELS, {"small": "Small 2M"}), tmp_path / f"{name}.csv")
    kept = tables.long(tmp_path, "demo")
    assert tuple(kept.columns) == tables.LONG_COLUMNS
    assert not kept.duplicated(list(tables.LONG_COLUMNS[:9])).any()
    at = {"split": "near", "model": "Small 2M", "variant": "evidence", "condition": "baseline"}
    found = one(kept, **at, arm="measured", metric="claimed_unmet_given_unmet/no comma")
    assert (found.value, found.n, found.unit) == (pytest.approx(27 / 30), 30, "objectives")
    # 24 right and 3 wrong claims of Full: a probability of 1, in the last tenth
    certain = one(kept, **at, arm="report", metric="rate_met/9")
    assert (certain.value, certain.n) == (pytest.approx(24 / 27), 27)
