"""Scoring rules: exact numbers, and that nothing earns more than the truth."""

import math

import numpy as np
import pytest

from confessions.training.scoring_rules import FLOOR, SCORING_RULES, brier, logarithmic

WHOLE = np.arange(101) / 100  # the probabilities that a report writes


def test_brier_by_hand() -> None:
    assert brier([True, False], [0.9, 0.3]) == pytest.approx(1 - (0.01 + 0.09) / 2)
    assert [brier([True], [p]) for p in (0, 0.5, 1)] == [0, 0.75, 1]
    assert brier([True, False], [0.5, 0.5]) == 0.75


def test_logarithmic_by_hand() -> None:
    span = math.log(0.995 / 0.005)
    assert logarithmic([True, False], [0.9, 0.3]) == pytest.approx(math.log(0.9 * 0.7 / 0.005**2) / 2 / span)
    assert [logarithmic([True], [p]) for p in (0, 0.005, 0.995, 1)] == pytest.approx([0, 0, 1, 1])
    assert logarithmic([False], [0.5]) == pytest.approx(math.log(100) / span)


@pytest.mark.parametrize("name", SCORING_RULES)
@pytest.mark.parametrize("truth", [0.01, 0.1, 0.35, 0.5, 0.77, 0.99])
def test_the_expected_reward_is_highest_at_the_truth(name: str, truth: float) -> None:
    """Of everything that a report can write; and strictly, so that the truth is the one best report."""
    rule = SCORING_RULES[name]
    expected = np.array([truth * rule([True], [p]) + (1 - truth) * rule([False], [p]) for p in WHOLE])
    best = expected.argmax()
    assert WHOLE[best] == truth
    assert (np.delete(expected, best) < expected[best]).all()
    assert (np.diff(expected)[:best] > 0).all()  # nearer is better
    assert (np.diff(expected)[best:] < 0).all()


@pytest.mark.parametrize("name", SCORING_RULES)
def test_certainty_is_best_where_it_is_right_and_every_reward_is_a_share(name: str) -> None:
    rule = SCORING_RULES[name]
    for met in (True, False):
        earned = [rule([met], [p]) for p in WHOLE]
        assert WHOLE[int(np.argmax(earned))] == met
        assert min(earned) == 0
        assert max(earned) == 1
    assert WHOLE[1] > FLOOR  # no two written probabilities earn the same
    assert len({rule([True], [p]) for p in WHOLE}) == 101
