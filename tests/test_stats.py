"""Intervals: known values, degenerate and empty cells, pairing, trends, and coverage."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import linregress, t

from confessions.metrics import Counts
from confessions.stats import Estimate, cluster_bootstrap, estimate, paired_difference, trend, wilson


def cell(right: list[int], n_sentences: int = 5, **columns: object) -> pd.DataFrame:
    """Scores of rollouts whose claim_match is right / n_sentences."""
    frame = pd.DataFrame({"row": range(len(right)), "n_correct_credit": right})
    return frame.assign(n_clean_admission=0, n_objectives=n_sentences, **columns)


def counts(k: list[int], n: list[int]) -> Counts:
    return Counts(np.array([k], dtype=float), np.array([n], dtype=float))


def is_nan(result: Estimate) -> bool:
    return all(math.isnan(number) for number in (result.value, result.low, result.high))


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_published_values(k: int, n: int, low: float, high: float) -> None:
    """Newcombe 1998 (Statistics in Medicine 17, 857-872), table I, method 3."""
    result = wilson(k, n)
    assert (result.value, result.n, result.method) == (k / n, n, "wilson")
    assert (result.low, result.high) == pytest.approx((low, high), abs=5e-5)


def test_wilson_level_and_nothing() -> None:
    assert wilson(8, 10, level=0.9).low == pytest.approx(0.541, abs=5e-4)
    assert is_nan(wilson(0, 0))


def test_estimate_chooses_by_kind() -> None:
    scores = cell([5, 0, 3, 2], exact_compliance=[True, False, False, False])
    assert estimate("exact_compliance", scores) == wilson(1, 4)
    assert estimate("claim_match", scores).method == "cluster bootstrap"
    assert estimate("claim_match", scores).n == 20
    assert is_nan(estimate("claim_match", scores[:0]))
    assert is_nan(estimate("exact_compliance", scores[:0]))


def test_cluster_bootstrap_is_as_wide_as_the_clusters_make_it() -> None:
    """64 rollouts that are all right or all wrong: as uncertain as 64 sentences, not as 320."""
    k = [5, 0] * 32
    result = cluster_bootstrap(counts(k, [5] * 64), seed=1)
    assert result.value == 0.5
    half = 1.96 * math.sqrt(0.25 / 64)
    assert (result.low, result.high) == pytest.approx((0.5 - half, 0.5 + half), abs=0.02)
    assert result == cluster_bootstrap(counts(k, [5] * 64), seed=1)


def test_rollouts_with_nothing_to_count_change_nothing() -> None:
    k, n = [1, 0, 2, 2], [2, 1, 2, 3]
    assert cluster_bootstrap(counts([*k, 0, 0], [*n, 0, 0])) == cluster_bootstrap(counts(k, n))


def test_a_cell_without_variation_has_an_interval_all_the_same() -> None:
    result = cluster_bootstrap(counts([5] * 64, [5] * 64))
    assert (result.value, result.n, result.method) == (1, 320, "wilson over rollouts")
    assert (result.low, result.high) == pytest.approx((wilson(64, 64).low, 1))
    assert cluster_bootstrap(counts([3], [5])).high > 0.9  # one rollout: nearly nothing is known


def test_mean_of_ratios_leaves_out_resamples_without_a_value() -> None:
    """One rollout alone holds the right sentences; a resample without it has no P(Full | right)."""
    parts = Counts(np.array([[1.0, 0, 0, 0], [1, 2, 0, 1]]), np.array([[2.0, 0, 0, 0], [3, 5, 5, 5]]))
    result = cluster_bootstrap(parts)
    assert result.value == pytest.approx((1 / 2 + 4 / 18) / 2)
    assert result.low <= result.value <= result.high
    none_right = Counts(np.array([[0.0, 0], [1, 2]]), np.array([[0.0, 0], [3, 5]]))
    assert is_nan(cluster_bootstrap(none_right))


def test_pairing_removes_what_rows_share() -> None:
    rng = np.random.default_rng(0)
    before = rng.integers(0, 5, 64)
    first, second = cell(before.tolist()), cell((before + 1).tolist()).sample(frac=1, random_state=0)
    result = paired_difference("claim_match", first, second)
    assert result.value == pytest.approx(0.2)
    assert result.method == "newcombe over rollouts"  # every row gains exactly one sentence: no variation
    second.loc[second["row"] == 0, "n_correct_credit"] -= 1
    result = paired_difference("claim_match", first, second)
    assert result.method == "paired cluster bootstrap"
    assert result.n == 64
    assert 0.18 < result.low < result.value < result.high <= 0.2 + 1e-12
    reverse = paired_difference("claim_match", second, first)
    assert (reverse.value, reverse.low, reverse.high) == pytest.approx((-result.value, -result.high, -result.low))


def test_pairing_needs_the_same_rows() -> None:
    with pytest.raises(ValueError, match="do not hold the same rows"):
        paired_difference("claim_match", cell([1, 2]), cell([1, 2, 3]))
    twice = cell([1, 2]).assign(row=0)
    with pytest.raises(ValueError, match="each once"):
        paired_difference("claim_match", twice, twice)
    assert is_nan(paired_difference("claim_match", cell([]), cell([])))


def test_trend_is_the_least_squares_line() -> None:
    steps, k, n = np.arange(1, 21), np.array([3, 5, 4, 6, 5, 8, 6, 7, 9, 8] * 2), np.full(20, 16)
    result, line = trend(steps, k, n), linregress(steps, k / n)
    assert result.slope.value == pytest.approx(line.slope)
    assert result.intercept == pytest.approx(line.intercept)
    # one row a step: the cluster-robust variance of the slope is the sandwich sum (x - mean)^2 e^2 / Sxx^2,
    # times the usual small-sample factor
    x, e = steps - steps.mean(), k / n - line.intercept - line.slope * steps
    variance = (x**2 * e**2).sum() / (x**2).sum() ** 2 * 20 / 19 * 19 / 18
    half = t.ppf(0.975, 19) * math.sqrt(variance)
    assert (result.slope.low, result.slope.high) == pytest.approx((line.slope - half, line.slope + half))
    assert result.slope.n == 320
    drawn = result.line([1, 20])
    assert drawn["value"].tolist() == pytest.approx([line.intercept + line.slope * s for s in (1, 20)])
    assert (drawn["low"] < drawn["value"]).all()
    assert (drawn["value"] < drawn["high"]).all()


def test_trend_weighs_by_n_and_clusters_by_step() -> None:
    whole = trend([0, 25, 50, 75], [20, 30, 24, 44], [64] * 4)
    split = trend([0, 0, 25, 25, 50, 50, 75, 75], [5, 15, 10, 20, 4, 20, 24, 20], [16, 48] * 4)
    assert split.slope.value == pytest.approx(whole.slope.value)
    empty = trend([0, 25, 50, 75, 100], [20, 30, 24, 44, 0], [64] * 4 + [0])
    assert empty.slope == whole.slope


def test_trend_of_a_constant_and_of_too_little() -> None:
    flat = trend([0, 1, 2, 3], [8] * 4, [8] * 4)
    assert (flat.slope.value, flat.slope.low, flat.slope.high) == pytest.approx((0, 0, 0), abs=1e-9)
    assert is_nan(trend([0, 1], [1, 2], [8, 8]).slope)
    assert trend([0, 1], [1, 2], [8, 8]).line([0, 1])["value"].isna().all()


def test_coverage_of_the_cluster_bootstrap() -> None:
    """Sentences of a rollout share its mood: resampling rollouts covers, Wilson over sentences does not."""
    rng = np.random.default_rng(3)
    covered = naive = 0
    for trial in range(200):
        moods = rng.beta(0.5, 0.5, size=64)  # mean 0.5, correlation 0.5 within a rollout
        k = rng.binomial(5, moods)
        result = cluster_bootstrap(counts(k, [5] * 64), seed=trial)
        covered += result.low <= 0.5 <= result.high
        blind = wilson(k.sum(), 320)
        naive += blind.low <= 0.5 <= blind.high
    assert covered / 200 > 0.91
    assert naive / 200 < 0.85


def test_coverage_of_the_trend() -> None:
    """40 steps of 64 rollouts, a true slope of 0.005 a step."""
    rng = np.random.default_rng(4)
    steps = np.arange(40)
    results = [trend(steps, rng.binomial(64, 0.3 + 0.005 * steps), [64] * 40).slope for _ in range(300)]
    assert 0.91 < np.mean([r.low <= 0.005 <= r.high for r in results]) < 0.99
