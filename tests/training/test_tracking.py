"""Runs that report to a tracker: what it is told, under which name, and that nothing else depends on it."""

import os
from pathlib import Path

import pytest
from test_trainer import SETTINGS, TASK
from transformers import TrainerCallback
from transformers.integrations import integration_utils

from confessions.config import Train, load
from confessions.pipeline import specs
from confessions.runtime.errors import InputError
from confessions.scoring.judge import LabelTrusting
from confessions.training import run as training
from confessions.training import tracking
from confessions.training.base import Base


class Tracker(TrainerCallback):
    """In a tracker's place: the runs that began, and what they said."""

    runs: list[str]
    told: list[dict[str, float]]

    def on_train_begin(self, args, state, control, **_):
        self.runs.append((args.project, args.run_name))

    def on_log(self, args, state, control, logs, **_):
        self.told.append(dict(logs))


@pytest.fixture
def tracker(monkeypatch):
    for name in (tracking.VARIABLE, "WANDB_PROJECT", "WANDB_RUN_ID", "WANDB_RESUME", "TENSORBOARD_LOGGING_DIR"):
        monkeypatch.setenv(name, "")
    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "trackio", Tracker)
    monkeypatch.setattr(tracking, "find_spec", lambda name: object() if name == "trackio" else None)
    Tracker.runs, Tracker.told = [], []
    return Tracker


def trained(random_nano: Path, work: Path, **changes) -> None:
    settings = Train.model_validate(SETTINGS | changes)
    base = Base(random_nano, "float32", True, "tiny")
    training.run(settings, 0, TASK, LabelTrusting(TASK), base, work, lambda line: None)


def test_a_run_tells_every_step_under_the_name_that_it_keeps(tracker, random_nano, tmp_path, monkeypatch):
    monkeypatch.setenv(tracking.VARIABLE, "trackio")
    trained(random_nano, tmp_path / "a1b2", steps=2)
    assert tracker.runs == [("confessions", "word_count-tiny-seed0-a1b2")]
    steps = [logs for logs in tracker.told if "loss" in logs]
    assert len(steps) == 2
    assert all(
        {"task_reward_mean", "confession_reward_mean", "sampler_gap_mean", "n_met"} <= logs.keys() for logs in steps
    )
    assert os.environ["WANDB_RUN_ID"] == "word_count-tiny-seed0-a1b2"


def test_a_run_that_reports_to_nobody(tracker, random_nano, tmp_path):
    trained(random_nano, tmp_path / "a1b2")
    assert tracker.runs == []
    assert os.environ["WANDB_RUN_ID"] == ""


def test_a_tracker_that_is_not_installed_is_told_before_the_first_step(tracker, random_nano, tmp_path, monkeypatch):
    monkeypatch.setenv(tracking.VARIABLE, "trackio,wandb")
    with pytest.raises(InputError, match=r"train\.report_to: wandb is not installed: pip install wandb"):
        trained(random_nano, tmp_path / "a1b2")
    assert tracker.told == []


def test_a_tracker_stands_in_no_spec():
    config = load("config.yaml")
    watched = config.model_dump()
    watched["experiments"][config.experiment]["train"]["report_to"] = ["trackio"]
    assert specs.train_spec(load(watched), 0) == specs.train_spec(config, 0)
    assert tracking.environment(["trackio", "wandb"]) == {"CONFESSIONS_REPORT_TO": "trackio,wandb"}
