"""The clock of a training step, with a clock that stands still between the moments of the test."""

import pytest

from confessions.training import timeline as module
from confessions.training.timeline import OTHER, Timeline


@pytest.fixture
def clock(monkeypatch):
    moments = [0.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: moments[0])
    return moments


def test_each_second_counts_for_the_innermost_part(clock):
    timeline = Timeline()
    clock[0] = 1.0  # other: 1
    with timeline.part("gradient"):
        clock[0] = 3.0  # gradient: 2
        with timeline.part("turn1"):
            clock[0] = 7.0  # turn1: 4
        clock[0] = 15.0  # gradient: 8
    clock[0] = 31.0  # other: 16
    with timeline.part("turn1"):
        clock[0] = 63.0  # turn1: 32
    assert timeline.take() == {OTHER: 17.0, "gradient": 10.0, "turn1": 36.0}
    clock[0] = 64.0
    assert timeline.take() == {OTHER: 1.0}


def test_a_part_that_fails_ends(clock):
    timeline = Timeline()
    with pytest.raises(ZeroDivisionError), timeline.part("turn1"):
        clock[0] = 1.0
        raise ZeroDivisionError
    clock[0] = 3.0
    assert timeline.take() == {"turn1": 1.0, OTHER: 2.0}
