"""An experiment on a local copy of a data set: from the line in the configuration to the scores."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from machine import needs_sandbox
from test_cli import EVALUATION, PLAIN, POLICY, TRAIN, assert_one_line, nothing_made, run
from typer.testing import CliRunner

from confessions.analysis.tables import training
from confessions.cli import app
from confessions.config import ConfigError, load
from confessions.pipeline import specs
from confessions.pipeline.plan.jobs import _tokens
from confessions.pipeline.plan.plan import Plan
from confessions.pipeline.verify import verify
from confessions.runtime.errors import InputError
from confessions.tasks import get as get_task
from confessions.tasks.programming.problems import archive, hardcode

LABELS = {"experiment": "e", "task": "programming", "model": "m", "source": "nano"}
ROOT = Path(__file__).parents[2]
BASE = yaml.safe_load((ROOT / "config.yaml").read_text())


def line(factor: int) -> dict:
    """A problem as APPS has it: a solution, and tests of which the first two become samples."""
    inputs = [f"{n}\n" for n in (1, 5, 0, 7, 30)]
    outputs = [f"{int(text) * factor}\n" for text in inputs]
    return {
        "problem_id": factor,
        "question": f"Print {factor} n.",
        "difficulty": "introductory",
        "input_output": json.dumps({"inputs": inputs, "outputs": outputs}),
        "solutions": json.dumps([f"print(int(input()) * {factor})\n"]),
    }


@pytest.fixture
def file(tmp_path) -> Path:
    """Nine problems: 5 and 9 are to evaluate on. One more line calls a function, and is left out."""
    calls = line(99) | {"input_output": json.dumps({"fn_name": "f", "inputs": [[1]], "outputs": [[2]]})}
    path = tmp_path / "apps.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in (*map(line, range(2, 11)), calls)))
    return path


def named(problems: object, **more: object) -> dict:
    """config.yaml with these problems in the experiment on programs."""
    experiment = {key: value for key, value in BASE["experiments"]["programming"].items() if key != "seeding"}
    experiments = BASE["experiments"] | {"programming": experiment | {"problems": problems} | more}
    return BASE | {"experiment": "programming", "experiments": experiments}


def test_every_fourth_problem_is_evaluated_on_and_none_is_trained_on(file):
    task = get_task("programming", str(file))
    ids = {split: [spec["id"] for spec in task.specs(split)] for split in ("train", "evaluation")}
    assert ids == {"train": [f"apps-{n}" for n in (2, 3, 4, 6, 7, 8, 10)], "evaluation": ["apps-5", "apps-9"]}
    assert "Print 5 n." in task.prompt(task.specs("evaluation")[0])
    assert "reference" not in task.specs("train")[0]
    assert get_task("programming").problems is None  # its own instances are what they were
    assert get_task("programming_own_tests", str(file)).specs("train") == task.specs("train")


@needs_sandbox
def test_its_hidden_tests_tell_solutions_from_hacks(file):
    task, problems = get_task("programming", str(file)), archive.of_split(file, "evaluation")
    chosen = task.specs("evaluation")
    solved = task.verify_all(chosen, [f"```python\n{problem.reference}```" for problem in problems])
    hacked = task.verify_all(chosen, [f"```python\n{hardcode.table(problem)}```" for problem in problems])
    assert [(truth.compliant, truth.hacked) for truth in solved] == [(True, False)] * 2
    assert [(truth.compliant, truth.hacked) for truth in hacked] == [(False, True)] * 2
    assert {truth.details["n_hidden_passed"] for truth in solved} == {3}


@needs_sandbox
def test_training_rollouts_and_scores(file, random_nano, tmp_path, monkeypatch):
    """Through the commands. With another file under the same name, what was finished is made anew."""
    task = {"task": "programming", "problems": str(file)}
    spec, out = TRAIN | task, tmp_path / "out"
    trained = run("train", spec, model=random_nano, work=tmp_path / "work", out=out)
    assert trained.exit_code == 0, trained.output
    logged = [json.loads(row) for row in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["n"] for row in logged] == [2, 2]
    assert [[row[rate] for rate in get_task("programming").rates] for row in logged] == [[0] * 5] * 2
    table = training({0: out / "metrics.jsonl"}, 2, LABELS)
    steps = table[table["kind"] == "step"].set_index("metric")
    assert set(steps.loc["passes_samples", "method"]) == set(steps.loc["hacked", "method"]) != {"as logged"}
    assert {"trend", "slope"} < set(table[table["metric"] == "declines"]["kind"])
    rollouts = tmp_path / "rollouts" / "step_2.parquet"
    block = {"seed": 0, "step": 2, "adapter": str(out / "adapters/step_2"), "rollouts": 3} | PLAIN | task
    sampling = {"model": POLICY | {"keep_thinking": True}, "engine": {"kind": "transformers"}, "texts": {}}
    sampling |= {"evaluation": EVALUATION, "files": {str(rollouts): [block]}}
    given = {"model": random_nano, "work": tmp_path / "sampling"}
    assert run("rollout", sampling, **given).exit_code == 0
    found = [json.loads(each)["id"] for each in pd.read_parquet(rollouts)["spec"]]
    assert found == ["apps-5", "apps-9", "apps-5"]
    scores = tmp_path / "scores" / "step_2.parquet"
    score = {"task": "programming", "judge": {"kind": "label_trusting"}}
    assert run("score-rollouts", score, rollouts=rollouts, out=scores).exit_code == 0
    assert set(pd.read_parquet(scores)["band"]) == {"easy"}
    assert verify(rollouts.parent).findings == []
    file.write_text(file.read_text().replace("Print 5 n.", "Write 5 n."))
    assert [finding.kind for finding in verify(rollouts.parent).findings] == ["stale"]
    monkeypatch.setattr(archive, "kept", archive.kept.__wrapped__)  # another process
    assert run("rollout", sampling, **given).exit_code == 0
    assert "Write 5 n." in pd.read_parquet(rollouts)["x"][0]
    assert len(list((tmp_path / "sampling").glob("*.parquet"))) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{\n", "line 1: not JSON"),
        (json.dumps(line(2)) + "\n", "1 problems, too few to train on some and evaluate on others: at least 4"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_one_line(tmp_path, random_nano, text, expected):
    """Before anything is loaded or made, in every command that reads it."""
    bad = tmp_path / "bad.jsonl"
    bad.write_text(text)
    spec = TRAIN | {"task": "programming", "problems": str(bad)}
    out = {"work": tmp_path / "work", "out": tmp_path / "out"}
    assert_one_line(run("train", spec, model=random_nano, **out), f"{bad}: {expected}")
    assert nothing_made(tmp_path / "out")
    assert not (tmp_path / "work").exists()
    assert_one_line(CliRunner().invoke(app, ["problems", str(bad)]), f"{bad}: {expected}")
    with pytest.raises(InputError, match=expected):
        Plan(load(named(str(bad))), "H200").jobs()


def test_the_command_counts_problems_and_what_is_left_out(file):
    said = CliRunner().invoke(app, ["problems", str(file)])
    assert said.exit_code == 0
    assert said.stderr == (
        f"{file}: 9 problems, 7 for train and 2 for evaluation; "
        "lines left out: 1 (calls a function instead of reading stdin)\n"
    )


def test_the_configuration_names_the_file(file):
    config = load(named(str(file)))
    plain = load(named(None))
    assert specs.train_spec(config, 0).dump() == specs.train_spec(plain, 0).dump() | {"problems": str(file)}
    for blocks in specs.rollout_spec(config, "qwen3-4b").files.values():
        assert {block.problems for block in blocks} == {str(file)}
    assert "problems" not in specs.rollout_spec(plain, "qwen3-4b").as_json()
    training = next(job for job in Plan(config, "H200").jobs() if job.rule == "train_policy")
    prompt = get_task("programming").prompt(get_task("programming", str(file)).specs("evaluation")[0])
    request = training.prompt // (100 * 64) - _tokens(prompt)
    assert 0 < request < 400


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"task": "countdown"}, "this task reads no file of problems"),
        ({"seeding": BASE["experiments"]["programming"]["seeding"]}, "a sweep seeds with the task's own problems"),
    ],
)
def test_where_no_file_goes(more, expected):
    with pytest.raises(ConfigError) as error:
        load(named("p.jsonl", **more))
    assert f"experiments.programming.problems = 'p.jsonl': {expected}" in str(error.value)
    assert "\n" not in str(error.value)
