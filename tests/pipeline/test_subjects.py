"""One list of subjects: what reads it agrees on every file."""

import copy
from collections import Counter
from pathlib import Path

import pytest
import yaml

from confessions.config import Config, load
from confessions.pipeline import specs, verify
from confessions.pipeline.subjects import policy_shards, scored, subjects, survey_files
from confessions.runtime.provenance import record_file

BASE = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text())


def whole_models() -> dict:
    """The demo where every weight is trained."""
    data = copy.deepcopy(BASE)
    data["experiments"]["demo"] |= {"seeds": [0, 3], "train": data["experiments"]["demo"]["train"] | {"lora": None}}
    return data


PROBES = {
    "asked": {"task": "countdown", "rollouts": 3, "variants": ["evidence"], "max_task_tokens": 7},
    "stored": {"answers": "answers.parquet", "rollouts": 2, "max_confession_tokens": 9},
}


def probed(data: dict) -> dict:
    """The demo with probes."""
    data = copy.deepcopy(data)
    data["experiments"]["demo"]["evaluation"]["probes"] = PROBES
    return data


CONFIGS = {name: BASE | {"experiment": name} for name in BASE["experiments"]}
CONFIGS |= {"whole models": whole_models(), "probes": probed(BASE), "probes of whole models": probed(whole_models())}


@pytest.fixture(params=CONFIGS)
def config(request) -> Config:
    return load(CONFIGS[request.param])


def test_every_file_is_of_one_kind_and_no_two_scores_or_logs_are_one(config):
    every = subjects(config)
    kinds = {(subject.rollouts, subject.kind) for subject in every}
    assert len(kinds) == len({file for file, _ in kinds})
    written = [s.scores for s in every if s.scores] + [file for s in every for file in s.log_files]
    assert set(Counter(written).values()) <= {1}
    assert not {*written} & {subject.rollouts for subject in every}


def test_the_jobs_sample_every_subject_once(config):
    """The policy's shards, and a job for each other base model, hold all files, with the subjects' cells."""
    every, policy = subjects(config), config.active.policy
    shards = [file for files in policy_shards(config) for file in files]
    assert len(shards) == len({*shards})
    assert {*shards} == {subject.rollouts for subject in every if subject.base == policy}
    for base in {subject.base for subject in every}:
        own = [subject for subject in every if subject.base == base]
        assert own == subjects(config, base)
        files = specs.rollout_spec(config, base).files
        blocks = [(file, repr(cells)) for file, found in files.items() for cells in found]
        assert sorted(blocks) == sorted((subject.rollouts, repr(subject.cells)) for subject in own)
        assert {*files} == {subject.rollouts for subject in own}
    assert {*survey_files(config)} == {subject.rollouts for subject in every if subject.kind == "survey"}


def test_verify_holds_every_subject_to_its_settings():
    """Rollouts and scores of each, those of seeded models too, and the logs of each experiment."""
    whole = load(probed(BASE))
    held = verify._expected(whole)
    for name in whole.experiments:
        config = whole.model_copy(update={"experiment": name})
        for subject in subjects(config):
            place = Path(subject.rollouts)
            assert subject.rollouts in held[str(record_file(place.parent, place.stem))]["files"]
            if subject.scores:
                score = specs.score_spec(config, None if subject.kind == "seeded" else subject.base)
                assert held[str(record_file(Path(subject.scores).parent, "score"))] == score.dump()
        assert held[f"results/{name}/logs/provenance/{name}.json"] == specs.logs_spec(config).dump()


def test_logs_are_of_what_is_scored_by_default(config):
    logs = specs.logs_spec(config)
    assert [(each.rollouts, each.scores) for each in logs.checkpoints] == [
        (s.rollouts, s.scores) for s in scored(config) if s.kind != "probe"
    ]
    assert {subject.kind for subject in subjects(config) if subject.log_files} <= {"checkpoint", "model"}


def test_a_probe_is_of_every_checkpoint_and_model():
    """Beside its rollouts of the experiment, without a system prompt; what a probe leaves out is as there."""
    config = load(probed(BASE))
    every = subjects(config)
    probes = {subject.rollouts: subject for subject in every if subject.kind == "probe"}
    steps, models = config.active.train.save_steps, config.compared
    demo = "results/demo"
    assert list(probes) == [
        *(f"{demo}/seed0/rollouts/step_{step}_{name}.parquet" for step in steps for name in PROBES),
        *(f"{demo}/models/{key}/{name}_rollouts.parquet" for key in models for name in PROBES),
    ]
    last = probes[f"{demo}/seed0/rollouts/step_20_asked.parquet"]
    assert last.scores == f"{demo}/seed0/scores/step_20_asked.parquet"
    assert last.cells.dump() == {
        "seed": 0,
        "step": 20,
        "adapter": f"{demo}/seed0/train/adapters/step_20",
        "task": "countdown",
        "conditions": ["baseline"],
        "variants": ["evidence"],
        "rollouts": 3,
        "max_task_tokens": 7,
    }
    assert last.cells.limits(config.active.evaluation) == (7, 400)
    plain = probes[f"{demo}/models/nano-rl/stored_rollouts.parquet"]
    assert plain.scores == f"{demo}/models/nano-rl/stored_scores.parquet"
    assert plain.cells.dump() == {
        "seed": 0,
        "step": 0,
        "adapter": None,
        "task": "word_count",
        "conditions": ["baseline"],
        "variants": ["default", "forced_count"],
        "rollouts": 2,
        "answers": "answers.parquet",
        "max_confession_tokens": 9,
    }
    assert {*probes} <= {subject.rollouts for subject in scored(config)}
    without = load(BASE)
    assert [subject for subject in every if subject.kind != "probe"] == subjects(without)
    assert specs.score_spec(config) == specs.score_spec(without)
    assert specs.logs_spec(config) == specs.logs_spec(without)
    tasks = specs.score_spec(config, "nano-rl").dump()["probes"]
    assert tasks == {
        f"{demo}/models/nano-rl/asked_scores.parquet": {"task": "countdown"},
        f"{demo}/models/nano-rl/stored_scores.parquet": {"task": "word_count"},
    }
