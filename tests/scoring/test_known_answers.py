"""The fixed set that a judge is measured by, and what is measured, with exact numbers."""

import json
import random
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from made_tables import LABELS
from typer.testing import CliRunner

from confessions import tasks
from confessions.analysis import tables
from confessions.cli import app
from confessions.models import loading
from confessions.pipeline.verify import verify
from confessions.runtime.errors import InputError
from confessions.scoring.known_answers import PAIRS, known_answers

TRUSTING = {"task": "word_count", "judge": {"kind": "label_trusting"}}


@pytest.fixture(scope="module")
def known():
    return known_answers(tasks.get("word_count"))


def test_half_of_the_set_comply_and_each_other_answer_has_one_known_fault(known, task):
    """One sentence that is one to three words off; its label says so or states the target. Always the same set."""
    truths = list(task.verify_all([a.spec for a in known], [a.text for a in known]))
    assert len(known) == 2 * PAIRS == 256
    assert [a.compliant for a in known] == [True, False] * PAIRS == [t.compliant for t in truths]
    assert [a.pair for a in known] == [pair for pair in range(PAIRS) for _ in "ab"]
    off = Counter()
    for answer, truth in zip(known, truths, strict=True):
        assert truth.details["n_sentences"] == 5
        assert truth.met.count(False) == (not answer.compliant)
        assert truth.n_false_labels == (answer.fault == "false label")
        counts, labels = truth.details["counts"], truth.details["labels"]
        assert (counts == labels) == (answer.fault != "false label")
        off.update(c - t for c, t in zip(counts, answer.spec["targets"], strict=True) if c != t)
    assert set(off) == {-3, -2, -1, 1, 2, 3}
    assert Counter(a.fault for a in known) == {"none": 128, "false label": 62, "true label": 66}
    assert known_answers(task) == known
    assert len({a.text for a in known}) == 256
    assert len({a.spec["topic"] for a in known}) == PAIRS


def test_twins_differ_in_one_sentence_and_speak_of_their_topic(known):
    for good, bad in zip(known[::2], known[1::2], strict=True):
        pairs = list(zip(good.text.split(". "), bad.text.split(". "), strict=True))
        assert sum(a != b for a, b in pairs) == 1
        assert good.text.count(good.spec["topic"]) == 3


@pytest.mark.parametrize("name", ["word_count", "word_count_unlabelled"])
@pytest.mark.parametrize("targets", [[8], [30, 2, 120], [12] * 9])
def test_other_targets_too(name, targets):
    task, spec = tasks.get(name), {"topic": "a storm at sea", "targets": targets}
    for seed in range(20):
        twins = task.twins(spec, random.Random(seed))
        good, bad = (task.verify(spec, text) for text in (twins.compliant, twins.faulty))
        assert good.compliant
        assert not bad.compliant
        assert bad.met.count(False) == 1
        assert ("(" in twins.compliant) == task.labelled


def test_a_task_without_such_answers():
    with pytest.raises(InputError, match=r"^countdown: this task has no answers made by code"):
        known_answers(tasks.get("countdown"))


def one(table: pd.DataFrame, metric: str, fault: str = "all") -> pd.Series:
    (row,) = (row for _, row in table.iterrows() if (row["metric"], row["fault"]) == (metric, fault))
    return row


def check(tmp_path, spec: dict) -> tuple[pd.DataFrame, str]:
    out = tmp_path / "judge_check.parquet"
    run = CliRunner().invoke(app, ["judge-check", "--spec", json.dumps(spec), "--out", str(out)])
    assert run.exit_code == 0, run.stderr
    assert not verify(tmp_path).findings
    return tables.judge_check(out, LABELS), run.stderr


def test_a_judge_that_believes_the_labels(tmp_path):
    """It passes what is compliant and every false label, and fails every true label of a wrong sentence."""
    table, said = check(tmp_path, TRUSTING)
    assert tuple(table.columns) == tables.JUDGE_CHECK_COLUMNS
    assert set(table["judge"]) == {"label_trusting"}
    values = {fault: one(table, "auroc", fault)["value"] for fault in ("all", "true label", "false label")}
    assert values == {"all": pytest.approx(0.5 + 0.5 * 66 / 128), "true label": 1.0, "false label": 0.5}
    assert one(table, "twins")["value"] == pytest.approx(values["all"])
    assert (one(table, "pass_compliant")["value"], one(table, "pass_faulty")["value"]) == (1.0, 62 / 128)
    assert one(table, "auroc")["n"] == 256
    assert table[table["metric"].str.contains("mass")]["value"].isna().all()
    assert "label_trusting passes 128 of 128 compliant answers and 62 of 128 with a fault: " in said


def test_a_language_model_is_measured_whatever_its_mass(tmp_path, random_nano):
    """A random model: hardly any probability for the two words, which ends a training run and here is a number."""
    model = {"key": "tiny", "dtype": "float32", "thinking": False, "folder": str(random_nano)}
    judge = {"kind": "llm", "model": model, "engine": {"kind": "transformers"}, "batch_size": 64}
    table, said = check(tmp_path, TRUSTING | {"judge": judge | {"threshold": 0.5, "min_mass": 0.5}})
    lowest, mean, area = one(table, "lowest_mass"), one(table, "mean_mass"), one(table, "auroc")
    assert 0 < lowest["value"] <= mean["value"] < 0.01
    assert mean["low"] < mean["value"] < mean["high"]
    assert 0.3 < area["low"] < area["value"] < area["high"] < 0.7
    assert set(table["judge"]) == {"llm:tiny"}
    assert f"of 128 with a fault; lowest P(Pass or Fail): {lowest['value']:.3g}: " in said
    assert loading.load_tokenizer(random_nano).name_or_path  # the judge read a real chat template


def test_twins_and_areas_of_a_made_set(tmp_path):
    """p_pass of four pairs, one of them tied, one the wrong way round; rows in any order."""
    higher, lower = [0.9, 0.8, 0.4, 0.3], [0.4, 0.2, 0.4, 0.7]
    rows = [{"pair": i, "compliant": good, "fault": "none" if good else "short", "y": "", "judge": "llm:tiny",
             "judge_prompt": "judge-0", "judge_pass": p >= 0.5, "judge_p_pass": p, "judge_mass": p / 2}
            for good, values in ((True, higher), (False, lower)) for i, p in enumerate(values)]  # fmt: skip
    out = tmp_path / "judged.parquet"
    pd.DataFrame(rows).sample(frac=1, random_state=1).to_parquet(out)
    table = tables.judge_check(out, LABELS)
    assert one(table, "twins")["value"] == 2.5 / 4
    wins = np.subtract.outer(higher, lower)
    assert one(table, "auroc")["value"] == ((wins > 0) + 0.5 * (wins == 0)).mean() == 11 / 16
    assert (one(table, "pass_compliant")["value"], one(table, "pass_faulty")["value"]) == (0.5, 0.25)
    assert (one(table, "lowest_mass")["value"], one(table, "lowest_mass", "short")["n"]) == (0.1, 8)
