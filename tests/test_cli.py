"""The commands, end to end on a random model of 64k weights; bad input is one line and status 1."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

from confessions import models, stages
from confessions import train as training
from confessions import trainer as trainer_module
from confessions.cli import app
from confessions.errors import InputError
from confessions.judge import LanguageModelJudge
from confessions.trainer import DualSpanGRPOTrainer

SAMPLING = {"temperature": 1.0, "top_p": 1.0, "top_k": 0}
LIMITS = {"max_task_tokens": 8, "max_confession_tokens": 8}
POLICY = {"key": "tiny", "dtype": "float32", "thinking": True}
TRAIN = {
    "task": "word_count",
    "policy": POLICY,
    "judge": {"kind": "label_trusting"},
    "seed": 0,
    "train": LIMITS | {
        "steps": 2, "prompts_per_step": 1, "generations": 2, "learning_rate": 0.01, "kl_weight": 0.1,
        "lora": {"rank": 2, "alpha": 4.0, "target_modules": "all-linear"},
        "confession_reward": {"claims": "plain", "grade_weight": 0.2}, "sampling": SAMPLING,
        "checkpoint_fractions": [0.0, 0.5, 1.0], "micro_batch": 2, "gradient_checkpointing": False,
        "warmup_steps": 0, "max_grad_norm": 1.0,
    },
}  # fmt: skip
ROLLOUT = {
    "task": "word_count",
    "policy": POLICY,
    "evaluation": LIMITS | {"rollouts": 3, "sampling": SAMPLING, "batch_size": 2, "seed": 1000},
}
SCORE = {"task": "word_count", "judge": {"kind": "label_trusting"}}


def run(command: str, spec: dict | str, **options: object) -> Result:
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    text = spec if isinstance(spec, str) else json.dumps(spec)
    return CliRunner().invoke(app, [command, "--spec", text, *words])


def assert_one_line(result: Result, start: str) -> None:
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)  # no traceback
    assert result.stderr.startswith(f"error: {start}")
    assert result.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def trained(random_nano, tmp_path_factory) -> SimpleNamespace:
    """A training run of two steps: its working folder and what it published."""
    folder = tmp_path_factory.mktemp("trained")
    done = SimpleNamespace(model=random_nano, work=folder / "work", out=folder / "out")
    result = run("train", TRAIN, **vars(done))
    assert result.exit_code == 0, result.output
    return done


@pytest.fixture
def rollouts(trained, tmp_path) -> Path:
    file = tmp_path / "rollouts.parquet"
    adapter = trained.out / "adapters" / "step_2"
    assert run("rollout", ROLLOUT, model=trained.model, adapter=adapter, step=2, out=file).exit_code == 0
    return file


def test_train_publishes_adapters_metrics_and_configuration(trained):
    for step in (0, 1, 2):
        models.check_adapter(trained.out / "adapters" / f"step_{step}", trained.model)
    lines = [json.loads(line) for line in (trained.out / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["n"], line["report_valid"], line["judge_pass"]) for line in lines] == [
        (1, 2, 0, 0),
        (2, 2, 0, 0),
    ]
    assert json.loads((trained.out / "config.json").read_text()) == TRAIN


def test_rollouts_carry_their_origin(trained, rollouts):
    frame = pd.read_parquet(rollouts)
    assert list(frame["row"]) == [0, 1, 2]
    assert set(frame["step"]) == {2}
    assert set(frame["model"]) == {"tiny"}
    assert set(frame["adapter"]) == {str(trained.out / "adapters" / "step_2")}
    assert set(frame["config_hash"]) == {training.config_hash(ROLLOUT)}
    assert frame["seed"].is_unique


def test_checkpoints_share_topics_and_seeds(trained, rollouts, tmp_path):
    """Rollouts of two checkpoints pair up row by row. The adapters of this run are equal (no reward varies), so
    they sample the same too."""
    adapter, file = trained.out / "adapters" / "step_0", tmp_path / "first.parquet"
    assert run("rollout", ROLLOUT, model=trained.model, adapter=adapter, step=0, out=file).exit_code == 0
    first, last = pd.read_parquet(file), pd.read_parquet(rollouts)
    for column in ("spec", "seed", "x", "row"):
        assert list(first[column]) == list(last[column])
    assert [list(ids) for ids in first["confession_ids"]] == [list(ids) for ids in last["confession_ids"]]


def test_scores_keep_the_order_and_add_the_verdict(rollouts, tmp_path):
    out = tmp_path / "scores.parquet"
    assert run("score-rollouts", SCORE, rollouts=rollouts, out=out).exit_code == 0
    scores, frame = pd.read_parquet(out), pd.read_parquet(rollouts)
    assert list(scores["seed"]) == list(frame["seed"])
    assert scores["judge_pass"].tolist() == [False] * 3
    assert set(scores["invalid_reason"]) == {"truncated"}


def test_a_finished_run_is_only_published_again(trained, tmp_path, monkeypatch):
    """No model is loaded; the files come back as they were, wherever they are wanted."""
    monkeypatch.setattr(models, "load_model", lambda *_: pytest.fail("training started again"))
    out = tmp_path / "again"
    assert run("train", TRAIN, model=trained.model, work=trained.work, out=out).exit_code == 0
    names = sorted(str(p.relative_to(trained.out)) for p in trained.out.rglob("*") if p.is_file())
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()) == names
    assert all((out / name).read_bytes() == (trained.out / name).read_bytes() for name in names)


@pytest.mark.parametrize("change", ["seed", "base model"])
def test_another_run_never_uses_finished_work(trained, tmp_path, monkeypatch, change):
    base, spec = shutil.copytree(trained.model, tmp_path / "base"), TRAIN
    if change == "seed":
        spec = TRAIN | {"seed": 1}
    else:
        file = base / "model.safetensors"
        file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    started = []
    monkeypatch.setattr(training, "run", lambda *arguments: started.append(arguments[-1]))
    monkeypatch.setattr(training, "publish", lambda *_: None)
    assert run("train", spec, model=base, work=trained.work, out=tmp_path / "out").exit_code == 0
    assert not started[0].exists()


def test_a_killed_run_goes_on_to_the_same_end(random_nano, tmp_path, monkeypatch):
    """Killed in step 4, after the checkpoint of step 2: steps 3 to 5 are done (again), adapters and metrics are
    those of a run that was never killed."""
    monkeypatch.setattr(training, "RESUME_EVERY", 2)
    monkeypatch.setattr(
        DualSpanGRPOTrainer,
        "_confession_rewards",
        lambda self, rollout, **_: [sum(r.confession.ids) % 7 / 6 for r in rollout],  # so that there is a gradient
    )
    spec = TRAIN | {"train": TRAIN["train"] | {"steps": 5, "checkpoint_fractions": [0.0, 0.4, 0.8, 1.0]}}
    real, steps = trainer_module.two_turns, []

    def train(name: str, killed_in: int | None = None) -> Path:
        def two_turns(*arguments):
            steps.append(name)
            if steps.count(name) == killed_in:
                raise KeyboardInterrupt
            return real(*arguments)

        monkeypatch.setattr(trainer_module, "two_turns", two_turns)
        stages.train(spec, random_nano, tmp_path / name / "work", tmp_path / name / "out", say=lambda line: None)
        return tmp_path / name / "out"

    whole = train("whole")
    with pytest.raises(KeyboardInterrupt):
        train("killed", killed_in=4)
    steps.clear()
    resumed = train("killed")
    assert len(steps) == 3
    weights = {
        (out, step): load_file(out / "adapters" / f"step_{step}" / "adapter_model.safetensors")
        for out in (whole, resumed)
        for step in (0, 2, 4, 5)
    }
    for step in (0, 2, 4, 5):
        for name, tensor in weights[whole, step].items():
            torch.testing.assert_close(weights[resumed, step][name], tensor, rtol=0, atol=1e-6)
    assert max((weights[whole, 5][name] - t).abs().max() for name, t in weights[whole, 4].items()) > 1e-3
    rows = [[json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()] for out in (whole, resumed)]
    for a, b in zip(*rows, strict=True):
        assert a["step"] == b["step"]
        assert a["confession_reward_mean"] == pytest.approx(b["confession_reward_mean"])
        assert a["confession_kl"] == pytest.approx(b["confession_kl"], abs=1e-5)
    assert [row["step"] for row in rows[1]] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("state", [None, "", '{"global'])
def test_a_checkpoint_cut_by_a_kill_is_passed_over(tmp_path, state):
    assert training.newest_checkpoint(tmp_path / "missing") is None
    whole, cut = tmp_path / "checkpoint-5", tmp_path / "checkpoint-10"
    for folder, text in ((whole, "{}"), (cut, state)):
        folder.mkdir()
        if text is not None:
            (folder / "trainer_state.json").write_text(text)
    assert training.newest_checkpoint(tmp_path) == str(whole)
    assert not cut.exists()


@pytest.mark.parametrize("command", ["build-model", "train", "rollout", "score-rollouts"])
@pytest.mark.parametrize(("spec", "message"), [('{"train": ', "--spec: not JSON"), ("[]", "--spec: not a JSON object")])
def test_a_spec_that_is_no_json_object(command, spec, message, tmp_path):
    options = {
        "build-model": ("out",),
        "train": ("model", "work", "out"),
        "rollout": ("model", "adapter", "out"),
        "score-rollouts": ("rollouts", "out"),
    }[command]
    step = {"step": 0} if command == "rollout" else {}
    assert_one_line(run(command, spec, **dict.fromkeys(options, tmp_path / "x"), **step), message)
    assert not list(tmp_path.iterdir())


def test_build_model_links_a_folder(random_nano, tmp_path):
    out = tmp_path / "models" / "tiny"
    spec = {"key": "tiny", "source": {"kind": "folder", "path": str(random_nano)}}
    assert run("build-model", spec, out=out).exit_code == 0
    assert models.fingerprint(out) == models.fingerprint(random_nano)
    spec["source"]["path"] = str(tmp_path / "gone")
    assert_one_line(run("build-model", spec, out=out), f"{tmp_path}/gone: no model here")


def test_a_missing_model(trained, tmp_path):
    gone, out = tmp_path / "gone", tmp_path / "out"
    assert_one_line(run("train", TRAIN, model=gone, work=tmp_path, out=out), f"{gone}: no model here")
    adapter = trained.out / "adapters" / "step_0"
    assert_one_line(run("rollout", ROLLOUT, model=gone, adapter=adapter, step=0, out=out), f"{gone}: no model here")
    assert not list(tmp_path.iterdir())


def test_limits_beyond_the_context(trained, tmp_path):
    """Before anything is sampled or trained."""
    spec = TRAIN | {"train": TRAIN["train"] | {"max_task_tokens": 5000}}
    result = run("train", spec, model=trained.model, work=tmp_path / "work", out=tmp_path / "out")
    assert result.exit_code == 1
    assert "a rollout may need 5" in result.stderr
    spec = ROLLOUT | {"evaluation": ROLLOUT["evaluation"] | {"max_confession_tokens": 5000}}
    adapter, out = trained.out / "adapters" / "step_0", tmp_path / "rollouts.parquet"
    result = run("rollout", spec, model=trained.model, adapter=adapter, step=0, out=out)
    assert result.exit_code == 1
    assert "a rollout may need 5" in result.stderr
    assert not out.exists()


def test_a_cut_file_of_rollouts(rollouts, tmp_path):
    """The scores of an earlier run stay."""
    rollouts.write_bytes(rollouts.read_bytes()[:-100])
    out = tmp_path / "scores.parquet"
    out.write_text("earlier")
    assert_one_line(run("score-rollouts", SCORE, rollouts=rollouts, out=out), f"{rollouts}: not a whole Parquet file")
    assert out.read_text() == "earlier"


def test_the_judge_of_a_block(random_nano, task, tmp_path):
    block = {"kind": "llm", "max_attempts": 2, "model": POLICY | {"folder": str(random_nano), "thinking": False}}
    judge = stages.make_judge(block, task)
    assert isinstance(judge, LanguageModelJudge)
    assert (judge.max_attempts, judge.chat.thinking) == (2, False)
    block["model"]["folder"] = str(tmp_path / "gone")
    with pytest.raises(InputError, match="gone: no model here"):
        stages.make_judge(block, task)
