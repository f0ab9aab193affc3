"""Beside a training run: its log, and what is said of a step that takes long, has no gradient or a gap."""

import json
import time
from types import SimpleNamespace

from confessions.training.callbacks import GAPS, MEANS, SLOW, GapWatch, GradientWatch, SlowStep, metrics_row
from confessions.training.counted import CALLED, COUNTS


def test_a_step_that_takes_five_times_the_first_says_why_it_may_once(monkeypatch):
    said, now = [], 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    callback = SlowStep(said.append)
    for step, seconds in enumerate((2.0, 0.1, 1.9 * SLOW, 2.0 * SLOW, 30.0 * SLOW), 1):
        assert len(said) == (step > 4)
        callback.on_step_begin(None, None, None)
        now += seconds
        callback.on_step_end(None, SimpleNamespace(global_step=step), None)
    assert said == [
        "step 4 took 10.0 s, the first one 2.0 s: other processes may share these cores (`top` shows them), or its "
        "rollouts are much longer"
    ]


def test_few_rollouts_with_a_gradient_are_said_once_until_most_have_one_again():
    said: list[str] = []
    watch, state = GradientWatch(said.append), SimpleNamespace(global_step=0)
    shares = [(1, 0.5), (1, 0.49), (0, 0.2), (0, 0.6), (1, 0.4), (1, 0.75), (1, 0)]
    for step, (task, confession) in enumerate(shares, 1):
        state.global_step = step
        logs = {"task_gradient_share": task, "confession_gradient_share": confession}
        watch.on_log(None, state, None, logs)
    watch.on_log(None, state, None, {"train_runtime": 1.0})
    assert [line.split(" (alarm")[0] for line in said] == [
        "step 2: 49% of the rollouts have a gradient in the confession span",
        "step 3: 0% of the rollouts have a gradient in the task span",
        "step 7: 0% of the rollouts have a gradient in the confession span",
    ]
    assert {"task_gradient_share", "confession_gradient_share"} <= set(MEANS)


def test_a_gap_beyond_the_bound_is_said_once_each_time():
    said: list[str] = []
    watch = GapWatch(said.append)
    state = type("State", (), {"global_step": 0})
    for step, gap in enumerate([0.001, 0.03, None, 0.05, float("nan"), 0.03, 0.01, None, 0.021], 1):
        state.global_step = step
        watch.on_log(None, state, None, {"sampler_gap_mean": gap})
    watch.on_log(None, state, None, {"train_runtime": 1.0})
    assert [line.split(":")[0] for line in said] == ["step 2", "step 9"]  # a step without a gap tells nothing
    assert "0.03 nats a token from the trainer's (bound 0.02)" in said[0]


def test_every_step_logs_the_gap_and_where_its_time_went():
    row = metrics_row(
        dict.fromkeys(COUNTS, 0.0) | {"step": 3, "seconds": 2.5, "n_met": 1.0, "sampler_gap_mean": 0.004}
        | {"sampler_gap_p99": 0.09, "sampler_gap_max": 0.3, "seconds_turn1": 1.0, "seconds_gradient": 1.5}
    )  # fmt: skip
    assert [row[name] for name in GAPS] == [0.004, 0.09, 0.3]
    assert row["timeline"] == {"turn1": 1.0, "gradient": 1.5}
    assert json.loads(json.dumps(row)) == row


def test_a_run_of_an_earlier_version_goes_on_under_todays_names():
    """Its checkpoint holds the log of the steps before, with the names of that time."""
    now = dict.fromkeys(COUNTS, 4.0) | {"step": 3, "seconds": 2.5, "full_given_met": 3.0, "n_unmet": 8.0}
    names = {new: old for old, new in CALLED.items()}
    assert metrics_row({names.get(name, name): value for name, value in now.items()}) == (metrics_row(now))
