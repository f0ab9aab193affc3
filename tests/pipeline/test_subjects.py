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


CONFIGS = {name: BASE | {"experiment": name} for name in BASE["experiments"]} | {"whole models": whole_models()}


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
    whole = load(BASE)
    held = verify._expected(whole)
    for name in whole.experiments:
        config = whole.model_copy(update={"experiment": name})
        score = specs.score_spec(config).dump()
        for subject in subjects(config):
            place = Path(subject.rollouts)
            assert subject.rollouts in held[str(record_file(place.parent, place.stem))]["files"]
            if subject.scores:
                assert held[str(record_file(Path(subject.scores).parent, "score"))] == score
        assert held[f"results/{name}/logs/provenance/{name}.json"] == specs.logs_spec(config).dump()


def test_logs_are_of_what_is_scored_by_default(config):
    logs = specs.logs_spec(config)
    assert [(each.rollouts, each.scores) for each in logs.checkpoints] == [
        (s.rollouts, s.scores) for s in scored(config)
    ]
    assert {subject.kind for subject in subjects(config) if subject.log_files} <= {"checkpoint", "model"}
