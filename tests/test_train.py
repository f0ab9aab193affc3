"""A training run: what it says of a step that takes much longer than the first."""

import time
from types import SimpleNamespace

from confessions.train import SLOW, SlowStep


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
