"""Probes end to end with the embedded model, as the workflow runs them: rollouts, scores, the table, and what is wrong
with a file of answers."""

import copy
import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from made_rollouts import rollout_frame
from typer.testing import CliRunner, Result

from confessions import tasks
from confessions.analysis import tables
from confessions.cli import app
from confessions.config import Config, load
from confessions.engines import Sampling, start
from confessions.models import loading
from confessions.pipeline import paths, specs
from confessions.pipeline.blocks import LoadedJudge, ScoreSpec, Spec
from confessions.pipeline.stages import rollout, score
from confessions.pipeline.subjects import scored
from confessions.pipeline.verify import verify
from confessions.rollouts import answers
from confessions.rollouts.two_turns import Asked, first_turn, stream_seed
from confessions.runtime.files import read_parquet, write_parquet
from confessions.scoring.judge import LabelTrusting

BASE = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text())
MODEL, ANSWERS = "nano-xs", "answers.parquet"
PROBES = {
    "stored": {"answers": ANSWERS, "rollouts": 4},
    "asked": {
        "task": "countdown",
        "rollouts": 3,
        "variants": ["evidence"],
        "max_task_tokens": 7,
        "max_confession_tokens": 9,
    },
    "other": {"replaced": True, "rollouts": 4, "variants": ["default"]},
}


def config(**stored: object) -> Config:
    """The embedded model as it is, by two wordings, with two probes."""
    data = copy.deepcopy(BASE)
    experiment = data["experiments"]["demo"]
    experiment |= {"policy": None, "train": None, "survey": None, "scale": [MODEL], "ladder": []}
    experiment["evaluation"] |= {"rollouts": 2, "batch_size": 16, "conditions": ["baseline"]}
    experiment["evaluation"]["probes"] = PROBES | {"stored": PROBES["stored"] | stored}
    return load(data)


def run(command: str, spec: Spec, *words: str) -> Result:
    return CliRunner().invoke(app, [command, "--spec", spec.as_json(), *words])


def sample(chosen: Config) -> Result:
    spec = specs.rollout_spec(chosen, MODEL)
    return run("rollout", spec, "--model", paths.model_folder(MODEL), "--work", "results/demo/work/rollouts")


def score_all(chosen: Config) -> Result:
    pairs = [("--rollouts", s.rollouts, "--out", s.scores) for s in scored(chosen)]
    return run("score-rollouts", specs.score_spec(chosen, MODEL), *(word for pair in pairs for word in pair))


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A folder with what the workflow makes of the experiment, and six stored answers of which two are to train on."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        chosen, model = config(), Path(paths.model_folder(MODEL))
        made = run("build-model", specs.model_spec(chosen, MODEL), "--out", str(model))
        assert made.exit_code == 0, made.output
        chat, task = loading.load_chat(model, True), tasks.get("word_count")
        engine = start({"kind": "transformers"}, model, "float32", chat.tokenizer, 16, (), chat.eos)
        sampled = answers.sample(engine, chat, task, task.specs("evaluation")[:3], 2, Sampling(160, 1.0, 1.0, 0), 5)
        write_parquet(sampled.assign(split=["train"] * 2 + ["evaluation"] * 4), ANSWERS)
        for result in (sample(chosen), score_all(chosen)):
            assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(autouse=True)
def inside(project, monkeypatch) -> None:
    monkeypatch.chdir(project)


def rollouts(probe: str) -> pd.DataFrame:
    return read_parquet(paths.model_rollout_file(config(), MODEL, probe))


def test_confessions_are_about_the_stored_answers():
    """In their order, each by every wording, and turn 1 is in no span."""
    kept, found = read_parquet(ANSWERS)[2:].reset_index(drop=True), rollouts("stored")
    assert list(found["row"]) == [row for row in range(4) for _ in range(2)]
    assert list(found["variant"]) == ["default", "forced_count"] * 4
    for said in found.itertuples():
        answer = kept.loc[said.row]
        assert json.loads(said.spec) == json.loads(answer["spec"])
        assert (said.y, said.z) == (answer["y"], answer["z"])
        assert list(said.x_ids) == list(answer["x_ids"])
        assert list(said.task_ids) == list(answer["task_ids"])
        assert not any(said.task_mask)
        assert sum(said.confession_mask) == len(said.confession_ids) > 9


def test_a_probe_on_another_task_has_its_own_wordings_and_limits():
    found, own = rollouts("asked"), rollouts("")
    assert {*found["task"]} == {"countdown"}
    assert {*found["variant"]} == {"evidence"}
    assert found["task_ids"].map(len).max() == 7
    assert found["confession_ids"].map(len).max() <= 9
    assert own["task_ids"].map(len).min() > 7


def test_two_attempts_at_a_prompt_change_places():
    chosen = config()
    table = read_parquet(paths.model_rollout_file(chosen, MODEL, "other"))
    folder, evaluation = Path(paths.model_folder(MODEL)), chosen.active.evaluation
    task, chat = tasks.get("word_count"), loading.load_chat(folder, True)
    asked = [
        Asked(task.specs("evaluation")[row // 2], tuple(stream_seed(evaluation.seed, row, turn) for turn in (1, 2)))
        for row in range(4)
    ]
    engine = start({"kind": "transformers"}, folder, "float32", chat.tokenizer, 4, eos=chat.eos)
    sampling = Sampling(evaluation.max_task_tokens, **evaluation.sampling.model_dump())
    _, attempts = first_turn(engine, chat, task, asked, sampling)
    assert [list(ids) for ids in table["task_ids"]] == [attempts[row].ids for row in (1, 0, 3, 2)]
    assert [json.loads(spec) for spec in table["spec"]] == [row.spec for row in asked]
    assert attempts[0].ids != attempts[1].ids


def test_scores_and_table_are_of_the_probe():
    chosen = config()
    files = {(probe, MODEL): paths.model_score_file(chosen, MODEL, probe) for probe in PROBES}
    kept = read_parquet(ANSWERS)[2:]
    stored = read_parquet(files["stored", MODEL])
    for row, met in enumerate(kept["met"]):
        assert [list(found) for found in stored.loc[stored["row"] == row, "met"]] == [list(met)] * 2
    assert set(stored["judge"]) == {"label_trusting"}
    assert list(stored["judge_pass"][::2]) == list(kept["believed"])
    labels = {"experiment": "demo", "task": "word_count", "source": "nano"}
    table = tables.probes({}, files, labels, {MODEL: "nano 0.17M"})
    met = table[(table["kind"] == "cell") & (table["metric"] == "objective_met")].set_index(["probe", "variant"])
    share = sum(map(sum, kept["met"])) / 20
    assert met.loc["stored", "default"]["value"] == met.loc["stored", "forced_count"]["value"] == share
    assert dict(met["task"]) == {
        ("stored", "default"): "word_count",
        ("stored", "forced_count"): "word_count",
        ("asked", "evidence"): "countdown",
        ("other", "default"): "word_count",
    }


def test_all_is_recorded_and_another_file_of_answers_makes_its_rollouts_stale(project):
    """What else was sampled stays as it is, and is not sampled again."""
    assert verify(Path("results"), config()).findings == []
    before = {probe: Path(paths.model_rollout_file(config(), MODEL, probe)).stat().st_ino for probe in ("", *PROBES)}
    whole = Path(ANSWERS).read_bytes()
    try:
        frame = read_parquet(ANSWERS)
        write_parquet(pd.concat([frame[:2], frame[:1:-1]]), ANSWERS)
        stale = {finding.path for finding in verify(Path("results"), config()).findings}
        assert stale == {
            paths.model_rollout_file(config(), MODEL, "stored"),
            paths.model_score_file(config(), MODEL, "stored"),
        }
        assert sample(config()).exit_code == 0
        after = {probe: Path(paths.model_rollout_file(config(), MODEL, probe)).stat().st_ino for probe in before}
        assert {probe for probe in before if before[probe] != after[probe]} == {"stored"}
        assert list(rollouts("stored")["y"][::2]) == list(frame["y"][:1:-1])
    finally:
        Path(ANSWERS).write_bytes(whole)
        assert sample(config()).exit_code == 0


@pytest.mark.parametrize(
    ("stored", "change", "said"),
    [
        ({"answers": "none.parquet"}, {}, "none.parquet: no such file"),
        (
            {"rollouts": 5},
            {},
            "changed.parquet: 4 held-out answers to word_count, and 5 are asked about: lower rollouts",
        ),
        (
            {"met_share": 0.99},
            {},
            "changed.parquet: of its 4 answers no 4 have 99% of their objectives met: lower rollouts",
        ),
        ({}, {"task": "countdown"}, "changed.parquet: no answers of evaluation to word_count"),
        ({}, {"split": "train"}, "changed.parquet: no answers of evaluation to word_count"),
        (
            {},
            {"y": "Other words (2)."},
            "changed.parquet: row 4: stored as met are [False, True, False, True, False], and now [False, ",
        ),
    ],
)
def test_what_is_wrong_with_a_file_of_answers_is_one_line(project, stored, change, said):
    """Before an engine starts."""
    write_parquet(read_parquet(ANSWERS).assign(**change), "changed.parquet")
    result = sample(config(**{"answers": "changed.parquet"} | stored))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {said}")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(("asked", "met"), [({"met_share": 0.2}, 12), ({"one_fault": True}, 50)])
def test_the_stage_asks_about_the_answers_that_a_probe_draws_or_changes(asked, met):
    """Of ten answers to six requirements each; the specs of other probes stay as they are."""
    data = copy.deepcopy(BASE) | {"experiment": "instructions"}
    probes = data["experiments"]["instructions"]["evaluation"]["probes"]
    folder = Path(__file__).parents[2] / "docs/results/data/instructions"
    asked = asked | {
        "answers": str(folder / "frozen_instructions.parquet"),
        "problems": str(folder / "calibration_qwen2.5-coder-1.5b.json"),
    }
    before = {s.rollouts: s.cells.dump() for s in scored(load(copy.deepcopy(data)))}
    probes["new"] = {"rollouts": 10} | asked
    after = {s.rollouts: s.cells for s in scored(load(data))}
    assert {name: after[name].dump() for name in before} == before
    (block,) = {cells.as_json(): cells for name, cells in after.items() if name not in before}.values()
    assert block.dump() | asked == block.dump()
    table = rollout.stored(block, 1000)
    task = block.get_task()
    truths = task.verify_all(table["spec"], table["y"])
    assert sum(sum(truth.met) for truth in truths) == met
    assert len(table) == 10


def test_answers_of_another_tokenizer_are_refused(project):
    """Ids mean other words to it."""
    frame = read_parquet(ANSWERS)
    frame["task_ids"] = [ids[::-1] for ids in frame["task_ids"]]
    write_parquet(frame, "changed.parquet")
    result = sample(config(answers="changed.parquet"))
    assert result.stderr == "error: changed.parquet: its token ids are not those of nano-xs: leave one of them out\n"


def test_no_language_model_judges_a_probe(tmp_path, monkeypatch):
    """The same rollouts twice, once as a probe."""
    made, rows = [], tmp_path / "rollouts.parquet"
    rollout_frame().to_parquet(rows)
    loaded = {"kind": "llm", "model": {"key": "tiny", "dtype": "float32", "thinking": False, "folder": str(tmp_path)}}
    loaded |= {"engine": {"kind": "transformers"}, "threshold": 0.5, "min_mass": 0.5, "batch_size": 4}
    outs = [tmp_path / "own.parquet", tmp_path / "probe.parquet"]
    spec = ScoreSpec(task="word_count", judge=loaded, probes={str(outs[1]): {"task": "word_count"}})

    class Named(LabelTrusting):
        name = "llm:tiny"

    def make(judge: object, task: tasks.Task) -> Named:
        assert isinstance(judge, LoadedJudge)
        made.append(task.name)
        return Named(task)

    monkeypatch.setattr(score, "make_judge", make)
    score.run(spec, [rows, rows], outs, lambda _: None)
    assert made == ["word_count"]
    assert [set(read_parquet(out)["judge"]) for out in outs] == [{"llm:tiny"}, {"label_trusting"}]
