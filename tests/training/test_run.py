"""A training run: what it says of a step that takes much longer than the first."""

import time
from types import SimpleNamespace

from confessions.training.run import MEANS, SLOW, GradientWatch, SlowStep


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
