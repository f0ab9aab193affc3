"""Scoring rules: exact numbers, and that nothing earns more than the truth."""

import math

import numpy as np
import pytest

from confessions.training.scoring_rules import SCORING_RULES, ScoringRule, brier, logarithmic

WHOLE = np.arange(101) / 100  # the probabilities that a report writes


def test_brier_by_hand() -> None:
    assert [brier(True, p) for p in (0, 0.5, 0.9, 1)] == pytest.approx([0, 0.75, 0.99, 1])
    assert [brier(False, p) for p in (0, 0.5, 0.9, 1)] == pytest.approx([1, 0.75, 0.19, 0])


def test_logarithmic_by_hand() -> None:
    span = math.log(199)
    met = [0, 0, math.log(100) / span, math.log(180) / span, 1, 1]
    assert [logarithmic(True, p) for p in (0, 0.005, 0.5, 0.9, 0.995, 1)] == pytest.approx(met)
    assert logarithmic(False, 0.3) == pytest.approx(math.log(140) / span)


def expected(rule: ScoringRule, truth: float, weight: float = 1) -> np.ndarray:
    """Of each probability that a report can write; what is met may weigh more."""
    return np.array([truth * weight * rule(True, p) + (1 - truth) * rule(False, p) for p in WHOLE])


@pytest.mark.parametrize("rule", SCORING_RULES.values())
@pytest.mark.parametrize("truth", [0.01, 0.1, 0.35, 0.5, 0.77, 0.99])
def test_the_expected_reward_is_highest_at_the_truth(rule, truth) -> None:
    """And strictly: the nearer, the more."""
    earned = expected(rule, truth)
    best = earned.argmax()
    assert WHOLE[best] == truth
    assert (np.diff(earned)[:best] > 0).all()
    assert (np.diff(earned)[best:] < 0).all()


@pytest.mark.parametrize("rule", SCORING_RULES.values())
def test_weights_by_the_truth_move_the_best_probability(rule) -> None:
    """Of what is met in one case of five and weighs four times as much, one half is the best report."""
    assert WHOLE[expected(rule, 0.2, weight=4).argmax()] == 0.5


@pytest.mark.parametrize("rule", SCORING_RULES.values())
@pytest.mark.parametrize("met", [True, False])
def test_certainty_earns_all_or_nothing_and_no_two_probabilities_the_same(rule, met) -> None:
    earned = [rule(met, p) for p in WHOLE]
    assert (earned[100 * met], earned[100 * (not met)]) == pytest.approx((1, 0))
    assert len(set(earned)) == 101
