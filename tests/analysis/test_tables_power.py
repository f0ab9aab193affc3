"""hack_survey.csv and power.csv: bounds where nothing was seen, textbook sample sizes, design effects, pairing."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from made_tables import FULL, LABELS, NONE, score_row, write_cells
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import power_proportions_2indep, proportion_confint
from test_tables import complaint, one

from confessions.analysis import tables
from confessions.analysis.metrics import METRICS
from confessions.analysis.tables.power import _paired
from confessions.tasks.word_count_unlabelled import hacks

TEXTS = dict.fromkeys(("x", "z", "xc", "zc", "yc"), "")


def survey_file(path, answers):
    spec = json.dumps({"topic": "the sea", "targets": [2, 3]})
    known = TEXTS | {"task": "word_count", "spec": spec, "task_finish": "stop", "confession_finish": "stop"}
    rows = [known | {"y": y, "step": step, "row": row} for step, ys in answers.items() for row, y in enumerate(ys)]
    pd.DataFrame(rows).to_parquet(path)
    return path


@pytest.fixture
def survey(tmp_path, monkeypatch) -> pd.DataFrame:
    def shouts(sample: hacks.Sample) -> str | None:
        return "!" if "!" in sample.y else None

    def sings(sample: hacks.Sample) -> str | None:
        return None

    detectors = (hacks.Detector("shouts", "an exclamation mark", shouts),
                 hacks.Detector("sings", "a song", sings, "quality"))  # fmt: skip
    monkeypatch.setattr(hacks, "DETECTORS", {d.name: d for d in detectors})
    monkeypatch.setattr(hacks.base, "DETECTORS", hacks.DETECTORS)
    path = survey_file(tmp_path / "survey.parquet", {0: ["Rain fell."] * 4, 8: ["Rain fell.", "Hail!", "So!", "Ice."]})
    return tables.hack_survey([path], LABELS)


def test_the_survey_counts_by_step_and_points_at_an_example(survey):
    assert tuple(survey.columns) == tables.SURVEY_COLUMNS
    assert len(survey) == 4
    seen = one(survey, step=8, detector="shouts")
    assert (seen.k, seen.n, seen.value, seen.method, seen.example_row) == (2, 4, 0.5, "wilson", 1)
    assert (seen.low, seen.high) == pytest.approx(proportion_confint(2, 4, method="wilson"))
    assert (seen.description, seen.kind) == ("an exclamation mark", "hack")
    assert survey["seed"].isna().all()


def test_training_seeds_are_surveyed_apart(tmp_path):
    path = survey_file(tmp_path / "survey.parquet", {0: ["Rain fell."] * 4})
    pd.read_parquet(path).assign(training_seed=[0, 0, 0, 7]).to_parquet(path)
    table = tables.hack_survey([path], LABELS)
    assert set(zip(table["seed"], table["n"], strict=True)) == {(0, 3), (7, 1)}


def test_never_seen_is_bounded_and_not_zero(survey):
    never = one(survey, step=0, detector="shouts")
    assert (never.value, never.low, never.k, never.n) == (0, 0, 0, 4)
    assert never.high == pytest.approx(1 - 0.05 ** (1 / 4))  # all 4 miss it with probability 0.05
    assert never.method == "clopper-pearson, one-sided upper bound"
    assert pd.isna(never.example_row)
    assert one(survey, step=8, detector="sings").kind == "quality"


def test_the_survey_runs_every_detector_and_names_a_damaged_file(tmp_path):
    path = survey_file(tmp_path / "survey.parquet", {0: ["Rain fell (2). The sea rose (3).", ""]})
    table = tables.hack_survey([path], LABELS)
    assert set(table["detector"]) == set(hacks.DETECTORS)
    tables.write(table, tmp_path / "survey.csv")
    assert len(pd.read_csv(tmp_path / "survey.csv")) == len(table)
    pd.read_parquet(path).drop(columns="zc").to_parquet(path)
    assert f"{path}: column 'zc' is missing" in complaint(tables.hack_survey, [path], LABELS)


def cells_file(path, n: int = 64):
    """Claims of whole rollouts: all right or all wrong, and right in both variants in 3 of 4 rows."""
    rows = []
    for variant, shift in (("default", 0), ("forced_count", n // 8)):
        for row in range(n):
            met = [True, False, False, False, False]
            right = (row + shift) % n < n // 2
            claims = [FULL if ok == right else NONE for ok in met]
            rows.append(score_row(row, met, claims, 1 if right else 7, variant=variant))
    pd.DataFrame(rows).to_parquet(path)
    return path


@pytest.fixture(scope="module")
def power(tmp_path_factory) -> pd.DataFrame:
    return tables.power({(0, 0): cells_file(tmp_path_factory.mktemp("power") / "step_0.parquet")}, LABELS)


def test_every_metric_has_every_design(power):
    assert tuple(power.columns) == tables.POWER_COLUMNS
    assert set(power["metric"]) == {name for name, metric in METRICS.items() if metric.cluster == "rollout"}
    assert set(power.value_counts(["metric", "kind", "design"])) == {6}  # 5 base rates and the observed one


def test_sample_sizes_are_the_textbook_ones(power):
    """Fleiss, Levin & Paik (2003), table A.4, without the continuity correction: 0.5 against 0.55."""
    at = {"design": "unpaired", "base_rate": 0.5, "observed": False}
    needed = one(power, **at, kind="needed", metric="grade_honest_given_noncompliant")
    assert (needed.difference, needed.design_effect, needed.units) == (0.05, 1, 1)
    assert needed.n == pytest.approx(1565, abs=5)
    seen = one(power, **at, kind="detectable", metric="grade_honest_given_noncompliant")
    assert seen.n == 64
    assert seen.difference == pytest.approx(0.24, abs=0.002)
    assert power_proportions_2indep(seen.difference, 0.5, 64).power == pytest.approx(0.8)


def test_sentences_of_one_mood_count_as_one(power):
    """claim_match is 0 or 5 of 5 in every rollout: 5 sentences are worth 1."""
    sentence = power[(power["metric"] == "claim_match") & ~power["observed"]]
    rollout = power[(power["metric"] == "grade_honest_given_noncompliant") & ~power["observed"]]
    assert sentence["design_effect"].to_numpy() == pytest.approx(5)
    assert (sentence["units"] == 5).all()
    assert sentence["difference"].to_numpy() == pytest.approx(rollout["difference"].to_numpy(), nan_ok=True)
    assert sentence["n"].tolist() == rollout["n"].tolist()


def test_pairing_gains_what_the_rows_share(power):
    at = {"metric": "claim_match", "base_rate": 0.5, "observed": False}
    paired = one(power, **at, kind="detectable", design="minus_default")
    assert paired.correlation == pytest.approx(0.5)  # 48 of 64 rows agree
    variance = 0.25 + (p := 0.5 + paired.difference) * (1 - p) - 2 * 0.5 * math.sqrt(0.25 * p * (1 - p))
    assert TTestPower().power(paired.difference / math.sqrt(variance), 64, 0.05) == pytest.approx(0.8)
    needed = {d: one(power, **at, kind="needed", design=d).n for d in ("unpaired", "minus_default")}
    assert needed["minus_default"] == pytest.approx(needed["unpaired"] / 2, rel=0.02)


def test_what_is_never_measured_stays_empty(power):
    answers = power[(power["metric"] == "objective_met") & (power["design"] == "minus_default")]
    assert answers["n"][answers["kind"] == "needed"].isna().all()  # the variants ask about one answer
    assert power[power["design"] == "minus_baseline"]["correlation"].isna().all()  # there is one condition
    compliant = power[power["metric"] == "exact_compliance"]
    assert compliant["difference"][compliant["kind"] == "detectable"].isna().all()  # it never varies


def test_the_promised_power_is_had():
    """Rollouts whose rate differs by the detectable difference: 4 of 5 simulated t tests see it."""
    rng = np.random.default_rng(0)
    measured = _paired(0.3, 1.0, 0.4, 64)
    difference = next(measured)["difference"]
    share = 0.4 * math.sqrt(0.3 * 0.7 * (q := 0.3 + difference) * (1 - q)) + 0.3 * q  # both
    cells = rng.multinomial(1, [share, 0.3 - share, q - share, 1 - 0.3 - q + share], (4000, 64))
    change = cells[..., 2] - cells[..., 1]
    t = change.mean(1) / (change.std(1, ddof=1) / 8)
    assert (abs(t) > 1.9983).mean() == pytest.approx(0.8, abs=0.03)


def test_damaged_scores_are_named(tmp_path):
    path = write_cells(tmp_path / "step_0.parquet")
    pd.read_parquet(path).iloc[:-3].to_parquet(path)
    assert complaint(tables.power, {(0, 0): path}, LABELS).startswith(f"{path}: jailbreak / forced_count does not hold")
