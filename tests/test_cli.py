"""The commands, end to end on a random model of 64k weights; bad input is one line and status 1."""

import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from made_tables import LABELS
from typer.testing import CliRunner, Result

from confessions import engines
from confessions.analysis import tables
from confessions.cli import app
from confessions.config import load
from confessions.models import loading
from confessions.pipeline import specs
from confessions.pipeline.blocks import LoadedJudge, RolloutSpec
from confessions.pipeline.stages import post_train as post_train_stage
from confessions.pipeline.stages import rollout as rollout_stage
from confessions.pipeline.stages.judges import make_judge
from confessions.pipeline.verify import verify
from confessions.runtime import provenance, threads
from confessions.runtime.errors import InputError
from confessions.scoring.judge import LanguageModelJudge
from confessions.training import callbacks
from confessions.training import run as training

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
EVALUATION = LIMITS | {"sampling": SAMPLING, "batch_size": 4, "seed": 1000}
ENGINE = {"kind": "transformers"}
CELLS = {
    "task": "word_count",
    "conditions": ["baseline", "hard"],
    "variants": ["default", "forced_count"],
    "rollouts": 3,
}
PLAIN = {"conditions": ["baseline"], "variants": ["default"]}
SCORE = {"task": "word_count", "judge": {"kind": "label_trusting"}}


def run(command: str, spec: dict | str, **options: object) -> Result:
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    text = spec if isinstance(spec, str) else json.dumps(spec)
    return CliRunner().invoke(app, [command, "--spec", text, *words])


def nothing_made(folder: Path) -> bool:
    """Nothing is there but whose turn it was (confessions.runtime.locks)."""
    return {path.name for path in folder.rglob("*") if path.is_file()} <= {".lock", ".holder"}


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


def rollout_spec(trained: SimpleNamespace, folder: Path, **evaluation: object) -> dict:
    """Two checkpoints with every cell, a survey over both, and the base model itself."""
    steps = [{"seed": 0, "step": step, "adapter": str(trained.out / "adapters" / f"step_{step}")} for step in (0, 2)]
    files = {str(folder / f"step_{at['step']}.parquet"): [at | CELLS] for at in steps}
    survey = CELLS | PLAIN | {"task": "word_count_unlabelled"}
    files[str(folder / "survey.parquet")] = [at | survey for at in steps]
    files[str(folder / "model.parquet")] = [{"seed": 0, "step": 0, "adapter": None} | CELLS | PLAIN]
    model = POLICY | {"keep_thinking": True}
    blocks = {"model": model, "engine": ENGINE, "evaluation": EVALUATION | evaluation, "texts": {}}
    return blocks | {"files": files}


@pytest.fixture(scope="module")
def sampled(trained, tmp_path_factory) -> SimpleNamespace:
    """Everything that one engine start has sampled."""
    folder = tmp_path_factory.mktemp("sampled")
    done = SimpleNamespace(folder=folder, spec=rollout_spec(trained, folder), work=folder / "work")
    starts = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rollout_stage, "start", lambda *args: starts.append(engines.start(*args)) or starts[-1])
        result = run("rollout", done.spec, model=trained.model, work=done.work)
    assert result.exit_code == 0, result.output
    done.said, done.starts = result.stderr, len(starts)
    return done


@pytest.fixture
def rollouts(sampled, tmp_path) -> Path:
    return shutil.copy(sampled.folder / "step_2.parquet", tmp_path / "rollouts.parquet")


def test_train_publishes_adapters_metrics_and_configuration(trained):
    for step in (0, 1, 2):
        loading.check_adapter(trained.out / "adapters" / f"step_{step}", trained.model)
    lines = [json.loads(line) for line in (trained.out / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["n"], line["report_valid"], line["judge_pass"]) for line in lines] == [
        (1, 2, 0, 0),
        (2, 2, 0, 0),
    ]
    assert json.loads((trained.out / "config.json").read_text()) == TRAIN


def test_a_language_model_judges_the_training(random_nano, tmp_path):
    """Its verdicts are the task's reward and its seconds are those of the step's `judge`. A random model hardly thinks
    of either word: with the usual `min_mass` the run ends at its first step, in one line, and publishes nothing."""
    model = POLICY | {"folder": str(random_nano), "thinking": False}
    judge = {"kind": "llm", "engine": ENGINE, "model": model, "threshold": 0.01, "min_mass": 0.0, "batch_size": 4}
    folders = {"model": random_nano, "work": tmp_path / "work", "out": tmp_path / "out"}
    spec = TRAIN | {"train": TRAIN["train"] | {"steps": 1, "checkpoint_fractions": [0.0, 1.0]}}
    refused = run("train", spec | {"judge": judge | {"min_mass": 0.5}}, **folders)
    assert (refused.exit_code, isinstance(refused.exception, SystemExit)) == (1, True)
    (line,) = (line for line in refused.stderr.splitlines() if line.startswith("error"))
    assert line.startswith("error: llm:tiny: no verdict on 2 of 2 answers: the probability of 'Pass' or 'Fail' after ")
    assert "lower judge.min_mass" in line
    assert not folders["out"].exists()
    done = run("train", spec | {"judge": judge}, **folders)
    assert done.exit_code == 0, done.output
    (step,) = (json.loads(line) for line in (folders["out"] / "metrics.jsonl").read_text().splitlines())
    assert step["judge_pass"] == 2
    assert step["timeline"]["judge"] > 0


def test_rollouts_carry_their_origin(trained, sampled):
    frame = pd.read_parquet(sampled.folder / "step_2.parquet")
    assert len(frame) == 2 * 2 * 3
    assert set(frame["step"]) == {2}
    assert set(frame["model"]) == {"tiny"}
    assert set(frame["adapter"]) == {str(trained.out / "adapters" / "step_2")}
    assert set(frame["config_hash"]) == {training.config_hash(sampled.spec)}
    survey = pd.read_parquet(sampled.folder / "survey.parquet")
    assert list(survey["step"]) == [0] * 3 + [2] * 3
    assert set(survey["task"]) == {"word_count_unlabelled"}
    assert not survey["x"].str.contains("parentheses").any()


def test_cells_pair_up(sampled):
    """Every cell of every checkpoint has the same topics and seeds; variants share the answer. The adapters of this
    run are equal (no reward varies), so the checkpoints sample the same too, and so does the base model."""
    frames = [pd.read_parquet(sampled.folder / f"{name}.parquet") for name in ("step_0", "step_2", "model")]
    cells = [cell for frame in frames for _, cell in frame.groupby(["condition", "variant"])]
    assert len(cells) == 4 + 4 + 1
    for cell in cells:
        assert list(cell["row"]) == [0, 1, 2]
        assert cell["seed"].is_unique
        for column in ("spec", "seed", "x"):
            assert list(cell[column]) == list(cells[0][column])
    for frame in frames[:2]:
        answers = frame.groupby(["condition", "row"])["task_ids"].agg(lambda ids: len({tuple(i) for i in ids}))
        assert set(answers) == {1}
        asked = frame.groupby("variant")["xc"].unique()
        assert {len(texts) for texts in asked} == {1}
        assert asked["default"][0] != asked["forced_count"][0]
    first, last = frames[:2]
    assert [list(ids) for ids in first["confession_ids"]] == [list(ids) for ids in last["confession_ids"]]
    baseline, hard = (first[first["condition"] == name] for name in ("baseline", "hard"))
    assert [list(ids) for ids in baseline["x_ids"]] != [list(ids) for ids in hard["x_ids"]]


def test_one_engine_start_samples_everything(sampled):
    """Two checkpoints of 2 x 2 cells, both ends' survey, the model itself: the log's numbers are those of the files."""
    frames = [pd.read_parquet(path) for path in sampled.folder.glob("*.parquet")]
    cells = sum(frame.groupby(["step", "adapter", "task", "condition", "variant"]).ngroups for frame in frames)
    adapters = {adapter for frame in frames for adapter in frame["adapter"]} - {""}
    served = f"for {sum(map(len, frames))} rollouts in {cells} cells, {len(adapters)} adapters"
    assert sampled.said.count("engine started") == 1
    assert f"engine started: transformers with tiny, {served}\n" in sampled.said
    assert sampled.starts == 1


def test_finished_cells_are_not_sampled_again(trained, sampled, tmp_path, monkeypatch):
    """All there: no model is loaded. One block lost or damaged: only that one is sampled, and comes back as it was."""
    before = {path.name: path.read_bytes() for path in sampled.folder.glob("*.parquet")}
    work = shutil.copytree(sampled.work, tmp_path / "work")
    again = lambda: rollout_stage.run(RolloutSpec.model_validate(sampled.spec), trained.model, work, said.append)  # noqa: E731
    said: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(loading, "load_model", lambda *_: pytest.fail("sampled again"))
        again()
    assert {path.name: path.read_bytes() for path in sampled.folder.glob("*.parquet")} == before
    lost = next(p for p in work.iterdir() if p.read_bytes() == before["step_2.parquet"])
    lost.unlink()
    again()
    started = "engine started: transformers with tiny, for 12 rollouts in 4 cells, 1 adapters"
    assert said.count(started) == 1
    expected = pd.read_parquet(sampled.folder / "step_0.parquet").assign(
        step=2, adapter=str(trained.out / "adapters" / "step_2")
    )
    pd.testing.assert_frame_equal(pd.read_parquet(lost), expected)
    with lost.open("r+b") as stream:  # the published file is a link to it
        stream.truncate(1000)
    again()
    assert said.count(started) == 2
    assert f"warning: {lost}: damaged; its rollouts are sampled again" in said
    pd.testing.assert_frame_equal(pd.read_parquet(sampled.folder / "step_2.parquet"), expected)


def test_shards_make_the_same_files(trained, sampled, tmp_path, monkeypatch):
    """Bit for bit as one job makes them; each has an engine start of its own and makes its files alone. Another number
    of shards samples nothing again."""
    before = {path: path.read_bytes() for path in sorted(sampled.folder.glob("*.parquet"))}
    names, work, said = list(map(str, before)), tmp_path / "work", []

    def there() -> list[str]:
        return sorted(map(str, sampled.folder.glob("*.parquet")))

    for path in before:
        path.unlink()
    rollout_stage.run(RolloutSpec.model_validate(sampled.spec), trained.model, work, said.append, names[1:])
    assert there() == names[1:]
    rollout_stage.run(RolloutSpec.model_validate(sampled.spec), trained.model, work, said.append, names[:1])
    assert there() == names
    assert {path: path.read_bytes() for path in before} == before
    assert sum("engine started" in line for line in said) == 2
    assert not verify(sampled.folder).findings
    monkeypatch.setattr(loading, "load_model", lambda *_: pytest.fail("sampled again"))
    words = ["--spec", json.dumps(sampled.spec), "--model", str(trained.model), "--work", str(work)]
    for files in ([], names[:3], names[3:]):
        result = CliRunner().invoke(app, ["rollout", *words, *files])
        assert result.exit_code == 0, result.output
    result = CliRunner().invoke(app, ["rollout", *words, "step_1.parquet"])
    assert_one_line(result, f"step_1.parquet: --spec has no such file; it has {names[1]}")


def test_a_checkpoint_that_is_a_model_is_sampled_as_one(trained, tmp_path):
    """No adapter is asked for; the rows say which step of which seed they are of; everything has its record."""
    train = {**TRAIN, "train": TRAIN["train"] | {"lora": None}}
    out, folder = tmp_path / "out", tmp_path / "sampled"
    result = run("train", train, model=trained.model, work=tmp_path / "work", out=out)
    assert result.exit_code == 0, result.output
    assert f"2 models in {out / 'models'}" in result.stderr
    assert sorted(path.name for path in (out / "models").iterdir()) == ["step_1", "step_2"]
    spec = rollout_spec(trained, folder)
    spec["files"] = {str(folder / "step_2.parquet"): [{"seed": 0, "step": 2, "adapter": None} | CELLS]}
    result = run("rollout", spec, model=out / "models/step_2", work=tmp_path / "kept")
    assert result.exit_code == 0, result.output
    assert "12 rollouts in 4 cells, 0 adapters" in result.stderr
    frame = pd.read_parquet(folder / "step_2.parquet")
    assert (set(frame["step"]), set(frame["training_seed"]), set(frame["adapter"])) == ({2}, {0}, {""})
    for place in (out, folder):
        assert not verify(place).findings
    (record,) = verify(folder).records
    assert {Path(name).parent.name for name in record.inputs} == {"step_2"}


def test_sampling_left_out_is_the_authors(trained, tmp_path):
    """As generation_config.json has it: said, recorded in every row, and part of what a block of cells is known by."""
    base = shutil.copytree(trained.model, tmp_path / "base")
    spec = rollout_spec(trained, tmp_path, sampling=None)
    spec["files"] = {name: blocks for name, blocks in spec["files"].items() if name.endswith("model.parquet")}
    assert_one_line(
        run("rollout", spec, model=base, work=tmp_path / "work"), f"{base}: generation_config.json recommends"
    )
    for n, temperature in enumerate((0.6, 0.7), 1):
        settings = {"temperature": temperature, "top_p": 0.95, "top_k": 20, "do_sample": True}
        (base / "generation_config.json").write_text(json.dumps(settings))
        result = run("rollout", spec, model=base, work=tmp_path / "work")
        assert result.exit_code == 0, result.output
        assert f"sampling of tiny, as its authors recommend: {{'temperature': {temperature}" in result.stderr
        frame = pd.read_parquet(tmp_path / "model.parquet")
        assert set(zip(frame["temperature"], frame["top_p"], frame["top_k"], strict=True)) == {(temperature, 0.95, 20)}
        assert len(list((tmp_path / "work").glob("*.parquet"))) == n


def test_rollouts_without_reasoning_in_context(trained, tmp_path):
    spec = rollout_spec(trained, tmp_path)
    spec["model"]["keep_thinking"] = False
    assert run("rollout", spec, model=trained.model, work=tmp_path / "work").exit_code == 0
    assert not pd.read_parquet(tmp_path / "step_2.parquet")["keep_thinking"].any()


def test_scores_keep_the_order_and_add_the_verdict(rollouts, tmp_path):
    out = tmp_path / "scores.parquet"
    assert run("score-rollouts", SCORE, rollouts=rollouts, out=out).exit_code == 0
    scores, frame = pd.read_parquet(out), pd.read_parquet(rollouts)
    for column in ("seed", "row", "condition", "variant", "training_seed"):
        assert list(scores[column]) == list(frame[column])
    assert scores["judge_pass"].tolist() == [False] * 12
    assert set(scores["judge"]) == {"label_trusting"}
    assert scores[["judge_prompt", "judge_p_pass", "judge_mass"]].isna().all(axis=None)
    assert set(scores["invalid_reason"]) == {"truncated"}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"spec": '{"topic": "\\ud800"}'}, r"row 2: spec: half a surrogate pair, '\ud800'; delete it"),
        ({"spec": "{}"}, "row 2: spec.targets: Field required; delete it"),
        ({"spec": "{"}, "row 2: spec: not JSON"),
        ({"yc": None}, "row 2: yc is "),
    ],
)
def test_a_rollout_that_is_none_is_named_with_its_row(rollouts, tmp_path, change, what):
    frame, bad = pd.read_parquet(rollouts), tmp_path / "bad.parquet"
    for column, value in change.items():
        frame.loc[1, column] = value
    frame.to_parquet(bad)
    result = run("score-rollouts", SCORE, rollouts=bad, out=tmp_path / "out")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith(f"error: {bad}: {what}")


def test_a_language_model_scores_all_files_after_one_start(random_nano, sampled, tmp_path, monkeypatch):
    """The whole way to the table, with a random model as the judge: it gives the two words hardly any probability."""
    model = POLICY | {"folder": str(random_nano), "thinking": False}
    judge = {"kind": "llm", "engine": ENGINE, "model": model, "threshold": 0.5, "min_mass": 0.0, "batch_size": 4}
    started, real = [], loading.load_model
    monkeypatch.setattr(loading, "load_model", lambda *a: started.append(a) or real(*a))
    files = {step: (sampled.folder / f"step_{step}.parquet", tmp_path / f"{step}.parquet") for step in (0, 2)}

    def score(block: dict) -> Result:
        words = [word for pair in files.values() for word in ("--rollouts", str(pair[0]), "--out", str(pair[1]))]
        spec = json.dumps({"task": "word_count", "judge": block})
        return CliRunner().invoke(app, ["score-rollouts", "--spec", spec, *words])

    assert score(judge).exit_code == 0
    assert len(started) == 1
    for _, out in files.values():
        scores = pd.read_parquet(out)
        assert (scores["judge_pass"] == (scores["judge_p_pass"] >= 0.5)).all()
        assert scores["judge_p_pass"].between(0, 1, inclusive="neither").all()
        assert scores["judge_mass"].between(0, 0.01, inclusive="neither").all()
    table = tables.judge({(0, step): out for step, (_, out) in files.items()}, LABELS)
    assert set(table["judge"]) == {"llm:tiny"}
    assert set(table.loc[table["metric"] == "accuracy", "n"]) == {3}
    before = {out: out.read_bytes() for _, out in files.values()}
    refused = score(judge | {"min_mass": 0.5})
    assert refused.exit_code == 1
    assert refused.stderr.splitlines()[-1].startswith("error: llm:tiny: no verdict on ")
    assert {out: out.read_bytes() for out in before} == before


def test_what_the_stages_made_is_recorded(trained, sampled, tmp_path):
    out = tmp_path / "scores.parquet"
    assert run("score-rollouts", SCORE, rollouts=sampled.folder / "step_2.parquet", out=out).exit_code == 0
    config = {"key": "tiny", "source": {"kind": "folder", "path": str(trained.model)}}
    assert run("build-model", config, out=tmp_path / "models" / "tiny").exit_code == 0
    found = {folder: verify(folder) for folder in (trained.out, sampled.folder, tmp_path)}
    assert not [finding for verdict in found.values() for finding in verdict.findings]
    (training_run,), sampling, (building, scoring) = (verdict.records for verdict in found.values())
    assert (building.stage, building.config) == ("build-model", config)
    assert (training_run.config, training_run.seeds) == (TRAIN, [0])
    adapters = {f"adapters/step_{step}/adapter_model.safetensors" for step in (0, 1, 2)}
    kept = {f"training_rollouts/step_{step}.parquet" for step in (1, 2)}
    assert adapters | kept | {"metrics.jsonl", "config.json"} < set(training_run.outputs)
    assert [(record.config, record.seeds) for record in sampling] == [(sampled.spec, [1000, 0])] * 4  # one a file
    outputs = [output for record in sampling for output in record.outputs.items()]
    used = {name: {Path(i).parent.name for i in out.inputs} for name, out in outputs}
    model = trained.model.name
    assert used == {
        "step_0.parquet": {model, "step_0"}, "step_2.parquet": {model, "step_2"},
        "survey.parquet": {model, "step_0", "step_2"}, "model.parquet": {model},
    }  # fmt: skip
    assert [Path(name).name for name in scoring.inputs] == ["step_2.parquet"]


def test_post_training_is_recorded(random_nano, tmp_path, monkeypatch):
    monkeypatch.setattr(post_train_stage, "post_train", lambda *given: shutil.copytree(random_nano, given[-1]))
    spec, out = (
        specs.model_spec(load(Path(__file__).parent.parent / "config.yaml"), "nano-sft").dump(),
        tmp_path / "models" / "tiny-sft",
    )
    assert run("post-train", spec, model=random_nano, out=out).exit_code == 0
    verdict = verify(tmp_path)
    assert verdict.findings == []
    (record,) = verdict.records
    assert (record.stage, record.config, record.seeds) == ("post-train", spec, [0])
    assert set(record.outputs) == {f"tiny-sft/{path.name}" for path in random_nano.iterdir()}


def test_two_post_trainings_of_one_model_run_one_after_the_other(random_nano, tmp_path, monkeypatch):
    monkeypatch.setattr("confessions.runtime.locks.POLL_SECONDS", 0.05)
    spec = specs.model_spec(load(Path(__file__).parent.parent / "config.yaml"), "nano-sft")
    out, inside, said = tmp_path / "models" / "tiny-sft", [], []
    both, waits = threading.Barrier(2), threading.Event()

    def post_train(*given):
        work, made = given[-2:]
        assert not inside
        inside.append(1)
        assert waits.wait(60)
        work.mkdir(parents=True)
        shutil.copytree(random_nano, made)
        assert work.is_dir()  # the other one has not taken it away
        inside.clear()

    def say(line):
        said.append(line)
        waits.set()

    def start():
        both.wait()
        post_train_stage.run(spec, random_nano, out, say)

    monkeypatch.setattr(post_train_stage, "post_train", post_train)
    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(start), pool.submit(start)]:
            each.result()
    waited, *done = said
    assert waited.startswith(f"{out.parent}/.tiny-sft.work: ")
    assert waited.endswith(" is at work here; waiting until it ends")
    assert done == [f"sft of nano in {out}"] * 2
    assert verify(tmp_path).findings == []


def test_every_file_of_rollouts_needs_its_own_output(rollouts, tmp_path):
    words = ["--rollouts", str(rollouts), "--rollouts", str(rollouts), "--out", str(tmp_path / "a")]
    result = CliRunner().invoke(app, ["score-rollouts", "--spec", json.dumps(SCORE), *words])
    assert_one_line(result, "2 --rollouts and 1 --out")


def test_a_finished_run_is_only_published_again(trained, tmp_path, monkeypatch):
    """No model is loaded; the files come back as they were, wherever they are wanted."""
    monkeypatch.setattr(loading, "load_model", lambda *_: pytest.fail("training started again"))
    out = tmp_path / "again"
    assert run("train", TRAIN, model=trained.model, work=trained.work, out=out).exit_code == 0
    names = sorted(str(p.relative_to(trained.out)) for p in trained.out.rglob("*") if p.is_file())
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()) == names
    kept = [name for name in names if not name.startswith(provenance.FOLDER)]  # a record says when it was written
    assert all((out / name).read_bytes() == (trained.out / name).read_bytes() for name in kept)


def test_a_slow_step_is_said_on_a_line_of_its_own(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(callbacks, "SLOW", 0)
    result = run("train", TRAIN, model=trained.model, work=tmp_path / "work", out=tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert [line.split(" took")[0] for line in result.stderr.splitlines() if " took " in line] == ["step 2"]


@pytest.mark.parametrize("change", ["seed", "base model"])
def test_another_run_never_uses_finished_work(trained, tmp_path, monkeypatch, change):
    base, spec = shutil.copytree(trained.model, tmp_path / "base"), TRAIN
    if change == "seed":
        spec = TRAIN | {"seed": 1}
    else:
        file = base / "model.safetensors"
        file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    started = []
    monkeypatch.setattr(training, "run", lambda *arguments: started.append(arguments[-2]))
    monkeypatch.setattr(training, "publish", lambda *_: None)
    monkeypatch.setattr(provenance.Job, "publish", lambda *_: None)
    assert run("train", spec, model=base, work=trained.work, out=tmp_path / "out").exit_code == 0
    assert not started[0].exists()


@pytest.mark.parametrize("command", ["build-model", "post-train", "train", "rollout", "score-rollouts", "judge-check"])
@pytest.mark.parametrize(("spec", "message"), [('{"train": ', "--spec: not JSON"), ("[]", "--spec: not a JSON object")])
def test_a_spec_that_is_no_json_object(command, spec, message, tmp_path):
    options = {
        "build-model": ("out",),
        "train": ("model", "work", "out"),
        "post-train": ("model", "out"),
        "rollout": ("model", "work"),
        "score-rollouts": ("rollouts", "out"),
        "judge-check": ("out",),
    }[command]
    assert_one_line(run(command, spec, **dict.fromkeys(options, tmp_path / "x")), message)
    assert nothing_made(tmp_path)


def test_build_model_links_a_folder(random_nano, tmp_path):
    out = tmp_path / "models" / "tiny"
    spec = {"key": "tiny", "source": {"kind": "folder", "path": str(random_nano)}}
    assert run("build-model", spec, out=out).exit_code == 0
    assert loading.fingerprint(out) == loading.fingerprint(random_nano)
    spec["source"]["path"] = str(tmp_path / "gone")
    assert_one_line(run("build-model", spec, out=out), f"{tmp_path}/gone: no model here")


def test_a_missing_model(trained, tmp_path):
    gone, out = tmp_path / "gone", tmp_path / "out"
    assert_one_line(run("train", TRAIN, model=gone, work=tmp_path, out=out), f"{gone}: no model here")
    spec = rollout_spec(trained, out)
    assert_one_line(run("rollout", spec, model=gone, work=tmp_path / "work"), f"{gone}: no model here")
    assert nothing_made(tmp_path)


def test_limits_beyond_the_context(trained, tmp_path):
    """Before anything is sampled or trained."""
    spec = TRAIN | {"train": TRAIN["train"] | {"max_task_tokens": 5000}}
    result = run("train", spec, model=trained.model, work=tmp_path / "work", out=tmp_path / "out")
    assert result.exit_code == 1
    assert "a rollout may need 5" in result.stderr
    spec = rollout_spec(trained, tmp_path / "out", max_confession_tokens=5000)
    result = run("rollout", spec, model=trained.model, work=tmp_path / "work")
    assert result.exit_code == 1
    assert "a rollout may need 5" in result.stderr
    assert nothing_made(tmp_path)


def test_a_cut_file_of_rollouts(rollouts, tmp_path):
    """The scores of an earlier run stay."""
    rollouts.write_bytes(rollouts.read_bytes()[:-100])
    out = tmp_path / "scores.parquet"
    out.write_text("earlier")
    assert_one_line(run("score-rollouts", SCORE, rollouts=rollouts, out=out), f"{rollouts}: not a whole Parquet file")
    assert out.read_text() == "earlier"


def test_the_judge_of_a_block(random_nano, task, tmp_path):
    block = {"kind": "llm", "model": POLICY | {"folder": str(random_nano), "thinking": False}, "engine": ENGINE}
    block |= {"threshold": 0.7, "min_mass": 0.2, "batch_size": 5}
    judge = make_judge(LoadedJudge.model_validate(block), task)
    assert isinstance(judge, LanguageModelJudge)
    assert (judge.threshold, judge.min_mass, judge.engine.batch_size) == (0.7, 0.2, 5)
    assert (judge.name, judge.chat.thinking) == ("llm:tiny", False)
    block["model"]["folder"] = str(tmp_path / "gone")
    with pytest.raises(InputError, match="gone: no model here"):
        make_judge(LoadedJudge.model_validate(block), task)


@pytest.mark.parametrize(("command", "offline"), [("score-rollouts", "True"), ("build-model", "False")])
def test_only_build_model_may_ask_a_hub(command, offline):
    """Whatever the user's environment says of it: compute nodes often have no network."""
    code = (
        "import sys; from confessions.cli import app\n"
        "try: app(sys.argv[1:], standalone_mode=False)\n"
        "except SystemExit: pass\n"
        "from huggingface_hub.constants import HF_HUB_OFFLINE; print(HF_HUB_OFFLINE)"
    )
    words = [command, "--spec", "not JSON", "--out", "x", *(["--rollouts", "x"] if command != "build-model" else [])]
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_OFFLINE")}
    run = subprocess.run(
        [sys.executable, "-c", code, *words], env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == [offline]


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, str(threads.SPINS)), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "passive"}, "0")],
    ids=["ours", "the user's count", "the user's policy"],
)
def test_threads_spin_for_a_bounded_time_unless_the_user_says_otherwise(given, spins):
    """As torch's libgomp understood it, which reads the environment when it is loaded: after the command has begun."""
    (torch_folder,) = find_spec("torch").submodule_search_locations
    libraries = [*Path(torch_folder).glob("lib/libgomp*.so*"), *Path(torch_folder).parent.glob("torch.libs/libgomp*")]
    if not libraries:
        pytest.skip("this build of torch brings no libgomp: take a build from the package index, for Linux")
    code = (
        "import ctypes, sys; from confessions.cli import app\n"
        "try: app(['score', 'gone.jsonl'], standalone_mode=False)\n"
        "except SystemExit: assert 'torch' not in sys.modules; ctypes.CDLL(sys.argv[1])"
    )
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("GOMP_", "OMP_"))}
    run = subprocess.run(
        [sys.executable, "-c", code, libraries[0]], env=plain | given | {"OMP_DISPLAY_ENV": "verbose"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert f"GOMP_SPINCOUNT = '{spins}'" in run.stderr
