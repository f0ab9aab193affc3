"""Calibration of the programming problems: what is measured, which problems are trained on, and the stage."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from machine import needs_sandbox
from typer.testing import CliRunner

from confessions import tasks
from confessions.cli import app
from confessions.config import ConfigError, load
from confessions.models import loading
from confessions.rollouts import answers
from confessions.runtime.errors import InputError
from confessions.runtime.files import read_parquet
from confessions.tasks.programming import calibration
from confessions.tasks.programming.calibration import Calibration, Measured
from confessions.tasks.programming.problems import generated

ROOT = Path(__file__).parents[2]
SOURCE = {"kind": "nano", "size": "xs"}
TRAIN, HELD_OUT = ([problem.id for problem in generated(split)] for split in ("train", "evaluation"))


def measured(name: str, solved: int = 4, n: int = 8, split: str = "train") -> Measured:
    return Measured(id=name, split=split, n=n, passes_samples=solved, solved=solved)


def calibrated(*problems: Measured, **changes) -> Calibration:
    known = {
        "task": "programming", "model": {"key": "nano-xs", "source": SOURCE}, "fingerprint": "f", "sampling": {},
        "revision": "r", "answers": 8, "truncated": 0, "bounds": (0.1, 0.9), "problems": list(problems),
    }  # fmt: skip
    return Calibration(**known | changes)


def written(folder: Path, found: Calibration) -> Path:
    file = folder / "calibration.json"
    file.write_text(found.model_dump_json())
    return file


@pytest.mark.parametrize(
    ("solved", "n", "k", "expected"),
    [(0, 8, 1, 0.0), (2, 8, 1, 0.25), (8, 8, 1, 1.0), (2, 8, 8, 1.0), (0, 8, 8, 0.0), (1, 16, 8, 0.5),
     (2, 16, 8, 1 - 56 / 240), (4, 4, 8, None), (0, 0, 1, None)],
)  # fmt: skip
def test_pass_at_k(solved: int, n: int, k: int, expected: float | None) -> None:
    """Of 16 answers of which 2 solve it, C(14, 8) / C(16, 8) = (8 * 7) / (16 * 15) of the choices of 8 hold neither."""
    found = measured("a", solved, n).pass_at(k)
    assert found is None if expected is None else found == pytest.approx(expected)


def test_counts_are_of_measured_runs_alone() -> None:
    rows = [
        # problem, split, passes the samples, the hidden tests, not known
        ("a", "train", True, True, ""),
        ("a", "train", True, False, ""),
        ("a", "train", False, True, ""),  # a sample fails: not solved
        ("a", "train", None, None, "runs were not measured"),
        ("b", "evaluation", False, False, ""),
    ]
    frame = pd.DataFrame(rows, columns=["spec", "split", "passes_samples", "passes_hidden", "not_known"])
    frame = frame.assign(
        spec=[json.dumps({"id": name}) for name in frame["spec"]], task_finish=["length"] + ["stop"] * 4
    )
    known = {"model": {}, "fingerprint": "f", "sampling": {}, "revision": "r", "bounds": (0.1, 0.9)}
    found = calibration.measure(frame, **known)
    assert (found.task, found.answers, found.truncated) == ("programming", 5, 1)
    assert found.problems == [
        Measured(id="a", split="train", n=3, passes_samples=2, solved=1),
        Measured(id="b", split="evaluation", n=1, passes_samples=0, solved=0),
    ]
    with pytest.raises(ValueError, match="a: 2 solve, 1 pass the samples, of 3"):
        Measured(id="a", split="train", n=3, passes_samples=1, solved=2)


@pytest.mark.parametrize("name", ["programming", "programming_own_tests", "programming_impossible"])
def test_training_draws_from_what_is_solved_sometimes(tmp_path, name) -> None:
    problems = [measured(TRAIN[0], 0), measured(TRAIN[1], 1), measured(TRAIN[2], 7), measured(TRAIN[3], 8)]
    problems += [measured(TRAIN[4], 0, 0), *(measured(other, 0, split="evaluation") for other in HELD_OUT)]
    task = tasks.get(name, str(written(tmp_path, calibrated(*problems))))
    assert [spec["id"] for spec in task.specs("train")] == TRAIN[1:3]
    assert task.specs("evaluation") == tasks.get(name).specs("evaluation")


def test_what_happens_on_held_out_problems_chooses_nothing(tmp_path) -> None:
    """Neither what is trained on nor what is evaluated on."""
    chosen = []
    for solved in (0, 4, 8):
        (folder := tmp_path / str(solved)).mkdir()
        held_out = (measured(name, solved, split="evaluation") for name in HELD_OUT)
        task = tasks.get("programming", str(written(folder, calibrated(measured(TRAIN[5]), *held_out))))
        chosen.append((task.specs("train"), task.specs("evaluation")))
    assert chosen[0] == chosen[1] == chosen[2]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (None, "no calibration can be read there"),
        ("{}", "not a calibration (task: Field required)"),
        (calibrated(measured("affine-99")).model_dump_json(), "unknown train problem 'affine-99': calibrate again"),
        (
            calibrated(measured(HELD_OUT[0])).model_dump_json(),
            f"unknown train problem '{HELD_OUT[0]}': calibrate again",
        ),
        (
            calibrated(measured(TRAIN[0], 8)).model_dump_json(),
            "nano-xs solves no training problem 10% to 90% of the time",
        ),
    ],
)
def test_a_file_that_cannot_be_trained_on_is_one_line(tmp_path, text, what) -> None:
    file = tmp_path / "calibration.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InputError) as error:
        tasks.get("programming", str(file)).specs("train")
    assert str(error.value).startswith(f"{file}: {what}")
    assert "\n" not in str(error.value)


def test_the_experiment_is_right_before_the_file_is_there_and_refuses_another_models(tmp_path) -> None:
    data = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"experiment": "programming_qwen"}
    file = "results/calibrations/qwen2.5-coder-1.5b/programming/calibration.json"
    assert load(data).active.problems == file
    experiment = data["experiments"]["programming_qwen"]
    for other in (file.replace("1.5b", "0.5b"), str(written(tmp_path, calibrated(measured(TRAIN[0]))))):
        experiment["problems"] = other
        with pytest.raises(ConfigError, match=r"programming_qwen\.problems.*and the model is qwen2\.5-coder-1\.5b"):
            load(data)
    experiment |= {"problems": file, "calibration": {"frozen": {"train": 1, "evaluation": 1, "samples": 1}}}
    with pytest.raises(ConfigError, match=r"calibration\.frozen.*all answers to this task are kept"):
        load(data)


@needs_sandbox
def test_the_stage_leaves_counts_and_answers_that_can_be_confessed(random_nano, tmp_path, monkeypatch) -> None:
    """On a model of random weights, and six of the problems."""
    few = {split: generated(split)[:3] for split in ("train", "evaluation")}
    monkeypatch.setattr("confessions.tasks.programming.task.generated", few.__getitem__)
    spec = {
        "task": "programming",
        "model": {"key": "nano-xs", "dtype": "float32", "thinking": True, "source": SOURCE},
        "engine": {"kind": "transformers"},
        "sampling": {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "max_new_tokens": 12},
        "batch_size": 64,
        "seed": 0,
        "calibration": {"per_level": 70, "samples": 2, "lowest": 0.0, "highest": 1.0, "frozen": None},
    }
    out = tmp_path / "nano-xs" / "programming"
    options = ["--spec", json.dumps(spec), "--model", str(random_nano), "--out", str(out)]
    run = CliRunner().invoke(app, ["calibrate", *options])
    assert run.exit_code == 0, run.output
    assert "12 answers: pass@1 0.00, 3 of 3 training problems kept" in run.output
    found = calibration.read(out / "calibration.json")
    assert found.fingerprint == loading.fingerprint(random_nano)
    assert [(one.id, one.split, one.n, one.solved) for one in found.problems] == [
        (problem.id, split, 2, 0) for split, problems in few.items() for problem in problems
    ]
    table = read_parquet(out / "answers.parquet")
    assert list(table["split"]) == ["train"] * 6 + ["evaluation"] * 6
    task = tasks.get("programming", str(out / "calibration.json"))
    assert len(answers.stored(str(out / "answers.parquet"), task, "train")) == 6
    assert json.loads((out / "provenance/programming.json").read_text())["stage"] == "calibrate"
