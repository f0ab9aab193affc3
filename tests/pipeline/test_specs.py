"""What a stage is given: written as it was given, parsed once, one line where it is wrong."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import Field, ValidationError
from typer.testing import CliRunner

from confessions.cli import app
from confessions.config import Config, Train, load
from confessions.pipeline import specs
from confessions.pipeline.blocks import LogsSpec, RolloutSpec, ScoreSpec, Spec, TrainSpec
from confessions.runtime.errors import InputError

ROOT = Path(__file__).parents[2]
CONFIG = load(ROOT / "config.yaml")


def chosen(name: str, config: Config = CONFIG) -> Config:
    return config.model_copy(update={"experiment": name})


def every(config: Config) -> Iterator[Spec]:
    """Every spec of the active experiment."""
    experiment = config.active
    yield from (specs.train_spec(config, seed) for seed in (experiment.seeds if experiment.train else ()))
    policy = [experiment.policy] if experiment.policy else []
    yield from (specs.rollout_spec(config, key) for key in [*policy, *config.compared, *config.seeded[:2]])
    yield from (specs.score_spec(config), specs.logs_spec(config))
    yield from (specs.model_spec(config, key) for key in config.models if not key.startswith("qwen3-1.7b-programming"))
    if experiment.evaluation.sampling:
        yield from (specs.calibration_spec(config, key) for key in config.compared)


@pytest.mark.parametrize("name", CONFIG.experiments)
def test_a_stage_reads_the_very_spec_that_the_rule_passes(name):
    """Key by key, in order: what it hashes and records is the parameter of the rule."""
    for spec in every(chosen(name)):
        read = type(spec).parse(spec.as_json())
        assert read == spec
        assert read.as_json() == spec.as_json()
        assert json.dumps(read.dump(), sort_keys=True) == json.dumps(json.loads(spec.as_json()), sort_keys=True)


def test_what_was_left_out_stays_out():
    text = '{"judge": {"kind": "label_trusting"}, "task": "word_count"}'
    assert ScoreSpec.parse(text).as_json() == text
    config = chosen("demo")
    train = specs.train_spec(config, 0).dump()
    assert not {"problems", "task_digest", "digests"} & set(train)
    assert not {"vllm", "processes", "micro_batch_tokens", "spans"} & set(train["train"])
    assert {"compile_layers", "engine"} < set(train["train"])  # at their defaults, and always written


def test_an_optional_key_that_is_new_changes_no_spec():
    class Newer(Train):
        speed: int = Field(3, description="a key of tomorrow")

    Newer.__name__ = "Train"  # as that of tomorrow will be called
    before = chosen("demo").active.train
    assert specs._written(Newer(**before.model_dump())) == specs._written(before)
    assert specs._written(Newer(**before.model_dump(), speed=4)) == specs._written(before) | {"speed": 4}


def test_a_spec_does_not_change():
    spec = specs.score_spec(chosen("demo"))
    with pytest.raises(ValidationError, match="frozen"):
        spec.task = "countdown"


TRAIN = specs.train_spec(chosen("demo"), 0).dump()
ROLLOUT = specs.rollout_spec(chosen("demo"), "nano-xs").dump()
(FILE,) = ROLLOUT["files"]


def without(block: dict, key: str) -> dict:
    return {name: value for name, value in block.items() if name != key}


@pytest.mark.parametrize(
    ("kind", "block", "said"),
    [
        (ScoreSpec, {"task": "word_count"}, "judge: this key is missing"),
        (
            ScoreSpec,
            {"task": "word_count", "judge": {"kind": "llms"}},
            "judge.kind = 'llms': unknown kind; nearest kno",
        ),
        (ScoreSpec, {"task": 3, "judge": {"kind": "label_trusting"}}, "task = 3: input should be a valid string"),
        (ScoreSpec, {"tasks": "a", "judge": None}, "tasks = 'a': unknown key; nearest known: 'task'"),
        (TrainSpec, without(TRAIN, "policy"), "policy: this key is missing"),
        (TrainSpec, TRAIN | {"seed": "0"}, "seed = '0': input should be a valid integer"),
        (TrainSpec, TRAIN | {"train": TRAIN["train"] | {"steps": 0}}, "train.steps = 0: input should be greater than"),
        (
            TrainSpec,
            TRAIN | {"train": TRAIN["train"] | {"stepz": 1}},
            "train.stepz = 1: unknown key; nearest known: 'st",
        ),
        (RolloutSpec, ROLLOUT | {"files": {"a": [{}]}}, "files.a.0.task: this key is missing"),
        (
            RolloutSpec,
            ROLLOUT | {"engine": {"kind": "vlm"}},
            "engine.kind = 'vlm': unknown kind; nearest known: 'vllm'",
        ),
        (RolloutSpec, ROLLOUT | {"evaluation": []}, "evaluation = []: "),
        (LogsSpec, {"checkpoints": []}, "training: this key is missing"),
    ],
)
def test_a_wrong_spec_is_one_line(kind, block, said):
    with pytest.raises(InputError) as caught:
        kind.parse(json.dumps(block))
    assert str(caught.value).startswith(f"--spec: {said}")
    assert "\n" not in str(caught.value)


COMMANDS = {
    "build-model": ("out",), "calibrate": ("model", "out"), "post-train": ("model", "out"),
    "train": ("model", "work", "out"), "rollout": ("model", "work"), "score-rollouts": ("rollouts", "out"),
    "judge-check": ("out",), "write-logs": ("out",),
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_is_wrong_with_its_spec(command, tmp_path):
    """Before it reads or makes anything."""
    words = [word for name in COMMANDS[command] for word in (f"--{name}", str(tmp_path / "x"))]
    for text, said in (('{"nonsense": 1}', "nonsense = 1: unknown key"), ("{}", "this key is missing")):
        run = CliRunner().invoke(app, [command, "--spec", text, *words])
        assert (run.exit_code, run.stderr.count("\n")) == (1, 1)
        assert run.stderr.startswith("error: --spec: ")
        assert said in run.stderr
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
