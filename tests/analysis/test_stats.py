"""Intervals: known values, degenerate and empty cells, pairing, trends, and coverage."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binom, linregress, norm, t, ttest_ind, ttest_rel
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from confessions.analysis import knowledge, stats
from confessions.analysis.claims import Claims
from confessions.analysis.metrics import METRICS, Counts
from confessions.analysis.stats import (
    Estimate,
    auroc,
    between,
    cluster_bootstrap,
    contrast,
    estimate,
    estimates,
    influence,
    paired_difference,
    paired_slope,
    removed_share,
    trend,
    wilson,
)


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


@pytest.mark.parametrize(("events", "method"), [(2, "wilson over rollouts"), (3, "cluster bootstrap")])
def test_too_few_rollouts_with_an_event_are_not_resampled(events: int, method: str) -> None:
    k = [1] * events + [0] * (64 - events)
    for counted in (counts(k, [5] * 64), counts([5 - x for x in k], [5] * 64)):
        result = cluster_bootstrap(counted)
        assert result.method == method
        assert result.low < result.value < result.high
    if events == 2:  # as if the rate were one of 64 rollouts
        low, high = proportion_confint(64 * (1 - 2 / 320), 64, method="wilson")
        assert (result.low, result.high) == pytest.approx((low, high))


def test_mean_of_ratios_with_a_ratio_of_few_rollouts() -> None:
    """One rollout alone holds the right sentences: resamples without it have no P(Full | right)."""
    parts = Counts(np.array([[1.0, 0, 0, 0], [1, 2, 0, 1]]), np.array([[2.0, 0, 0, 0], [3, 5, 5, 5]]))
    result = cluster_bootstrap(parts)
    assert result.value == pytest.approx((1 / 2 + 4 / 18) / 2)
    assert result.method == "newcombe over rollouts"
    # (a + b) / 2 is half the difference of a and 1 - b, and a half
    low, high = confint_proportions_2indep(0.5, 1, 4 * 14 / 18, 4, method="newcomb")
    assert (result.low, result.high) == pytest.approx((low / 2 + 0.5, high / 2 + 0.5))
    none_right = Counts(np.array([[0.0, 0], [1, 2]]), np.array([[0.0, 0], [3, 5]]))
    assert is_nan(cluster_bootstrap(none_right))
    assert cluster_bootstrap(none_right).n == 0


def test_metrics_of_a_cell_share_their_resamples_and_stay_what_they_are() -> None:
    rng = np.random.default_rng(5)
    right = rng.integers(0, 6, 40)
    scores = cell(rng.integers(0, 6, 40).tolist(), exact_compliance=right == 5, n_met=right, n_over_claim=1)
    names = ("claim_match", "exact_compliance", "objective_met", "over_claim", "p_full_given_met")
    scores["n_correct_credit"] = np.minimum(scores["n_correct_credit"], right)
    together = estimates({name: METRICS[name].fn(scores) for name in names})
    assert list(together) == list(names)
    assert together == {name: estimate(name, scores) for name in names}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40))
@settings(max_examples=40)
def test_intervals_hold_their_value_and_stay_in_range(pairs: list[tuple[int, int]]) -> None:
    k, n = [min(pair) for pair in pairs], [max(pair) for pair in pairs]
    result = cluster_bootstrap(counts(k, n))
    assert is_nan(result) if sum(n) == 0 else -1e-9 <= result.low <= result.value <= result.high <= 1 + 1e-9
    difference = contrast([counts(k, n), counts(n, n)], [-1, 1])
    assert difference.n == (0 if sum(n) == 0 else len(n))
    assert is_nan(difference) or -1 <= difference.low <= difference.value <= difference.high <= 1


def test_pairing_removes_what_rows_share() -> None:
    rng = np.random.default_rng(0)
    before = rng.integers(0, 5, 64)
    first, second = cell(before.tolist()), cell((before + 1).tolist()).sample(frac=1, random_state=0)
    result = paired_difference("claim_match", first, second)
    assert result.value == pytest.approx(0.2)
    assert result.method == "newcombe over rollouts"  # every row gains exactly one sentence: no variation
    second.loc[second["row"] == 0, "n_correct_credit"] -= 1
    result = paired_difference("claim_match", first, second)
    assert (result.method, result.n) == ("cluster-robust t", 64)
    reverse = paired_difference("claim_match", second, first)
    assert (reverse.value, reverse.low, reverse.high) == pytest.approx((-result.value, -result.high, -result.low))


def test_a_paired_difference_of_equal_rollouts_is_the_paired_t_test() -> None:
    """Each rollout has 5 sentences, so that the ratio is a mean of rollouts."""
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 6, 64), rng.integers(0, 6, 64)
    result = paired_difference("claim_match", cell(first.tolist()), cell(second.tolist()))
    plain = ttest_rel(second / 5, first / 5)
    assert result.value == pytest.approx((second - first).mean() / 5)
    # the small-sample factor of the cluster-robust variance: 127 / 126 for 128 observations and 2 means
    half = (plain.confidence_interval().high - result.value) * math.sqrt(127 / 126)
    assert (result.low, result.high) == pytest.approx((result.value - half, result.value + half))


def test_a_difference_of_fixed_rates_is_newcombes() -> None:
    result = contrast([counts([0] * 20, [1] * 20), counts([1] * 20, [1] * 20)], [-1, 1])
    assert (result.value, result.method) == (1, "newcombe over rollouts")
    expected = confint_proportions_2indep(20, 20, 0, 20, method="newcomb")
    assert (result.low, result.high) == pytest.approx(expected)


def test_a_difference_is_wide_where_a_rate_is_known_from_a_few_rollouts() -> None:
    """P(Full | right) is 1 in three rollouts and 0 in three others: 64 rows do not make that sure."""
    few = [[1] * 3 + [0] * 61, [0] * 64], [1] * 3 + [0] * 61
    result = contrast([counts(k, few[1]) for k in few[0]], [-1, 1])
    assert result.method == "newcombe over rollouts"
    assert (result.low, result.high) == pytest.approx(confint_proportions_2indep(0, 3, 3, 3, method="newcomb"))


def test_cells_of_different_rollouts_are_compared_unpaired() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 2, 40), rng.integers(0, 2, 24)
    cells = [counts(k.tolist(), [1] * len(k)) for k in (first, second)]
    result = contrast(cells, [-1, 1], [np.arange(40), np.arange(40, 64)])
    plain = ttest_ind(second, first, equal_var=False).confidence_interval()
    assert (result.value, result.n) == (pytest.approx(second.mean() - first.mean()), 64)
    assert (result.low, result.high) == pytest.approx((plain.low, plain.high), abs=0.01)


def test_the_slope_over_checkpoints_is_least_squares() -> None:
    rng = np.random.default_rng(0)
    cells = {step: cell(rng.integers(0, 6, 32).tolist()) for step in (0, 25, 50, 100)}
    values = [METRICS["claim_match"].fn(scores).value for scores in cells.values()]
    result = paired_slope("claim_match", cells)
    assert result.value == pytest.approx(linregress(list(cells), values).slope)
    assert result.low < result.value < result.high


@pytest.mark.parametrize(
    ("positive", "negative", "value"),
    [
        ([3.0, 4.0], [1.0, 2.0], 1.0),
        ([1.0, 2.0], [3.0, 4.0], 0.0),
        ([1.0, 1.0, 1.0], [1.0, 1.0], 0.5),
        ([0.9, 0.8, 0.4, 0.4], [0.4, 0.2, 0.8, 0.1], (4 + 3.5 + 2.5 + 2.5) / 16),
        ([True, False, True], [False, True], (1.5 + 0.5 + 1.5) / 6),
    ],
)
def test_auroc_counts_pairs_and_half_of_the_ties(positive: list, negative: list, value: float) -> None:
    found = auroc(np.array(positive, dtype=float), np.array(negative, dtype=float))
    assert found.value == pytest.approx(value)
    assert found.n == len(positive) + len(negative)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_auroc_needs_both_classes() -> None:
    some, none = np.array([0.1, 0.9]), np.array([])
    for pair in ((some, none), (none, some), (none, none)):
        assert auroc(*pair).n == 0
        assert math.isnan(auroc(*pair).value)


def test_auroc_where_no_resample_differs_is_not_certain() -> None:
    """Every pair in order, or nothing but ties: Wilson's interval with the smaller class as its units."""
    perfect = auroc(np.arange(20.0) + 100, np.arange(30.0))
    assert (perfect.value, perfect.high, perfect.low) == (1.0, 1.0, wilson(20, 20).low)
    tied = auroc(np.ones(20), np.ones(30))
    assert (tied.value, tied.low) == (0.5, wilson(10, 20).low)


def test_the_interval_of_auroc_is_that_of_its_exact_variance() -> None:
    """Normal scores d apart have the area Phi(d / sqrt 2). Pairs that share most of their score know it better."""
    rng = np.random.default_rng(0)
    positive, negative, shared = rng.normal(0.8, 1, 150), rng.normal(0, 1, 150), rng.normal(0, 2, 150)
    plain, truth = auroc(positive, negative), norm.cdf(0.8 / math.sqrt(2))
    assert plain.low < truth < plain.high
    assert plain.method == "bootstrap by class"
    # Hanley and McNeil's (1982) standard error
    a, n = plain.value, 150
    q1, q2 = a / (2 - a), 2 * a**2 / (1 + a)
    error = math.sqrt((a * (1 - a) + (n - 1) * (q1 - a**2) + (n - 1) * (q2 - a**2)) / n**2)
    assert (plain.high - plain.low) / (2 * 1.96) == pytest.approx(error, rel=0.1)
    pairs = positive + shared, negative + shared
    together, apart = auroc(*pairs, paired=True), auroc(*pairs)
    assert together.value == apart.value
    assert together.high - together.low < 0.8 * (apart.high - apart.low)


def test_what_lies_between_wordings_by_hand() -> None:
    cells = [counts([k] * 8, [4] * 8) for k in (1, 2, 3)]
    found = between(cells)
    assert (found["between"].value, found["between"].n) == (0.25, 3)
    assert found["between"].low == pytest.approx(0.25 * math.sqrt(2 / 7.377759))  # chi-square, 2 degrees of freedom
    assert found["between"].high == pytest.approx(0.25 * math.sqrt(2 / 0.0506356))
    assert (found["noise"].value, found["noise"].n) == (0, 8)  # no row differs from another
    moody = [counts([0, 4] * 4, [4] * 8), counts([0, 4] * 4, [4] * 8)]  # but of the same rows in both
    assert between(moody)["noise"].value == pytest.approx(0, abs=1e-12)
    apart = [counts([0, 4] * 4, [4] * 8), counts([4, 0] * 4, [4] * 8)]
    assert between(apart)["noise"].value == pytest.approx(math.sqrt(2 * 0.25 / 7))  # twice a mean's variance, K - 1 = 1
    same = between(moody)["between"]
    assert (same.value, same.n, same.method, math.isnan(same.low)) == (0, 2, "nothing to resample", True)
    for none in (cells[:1], [counts([0], [0])] * 2):
        assert [math.isnan(number.value) for number in between(none).values()] == [True, True]
        assert [number.n for number in between(none).values()] == [0, 0]


def test_the_noise_between_wordings_is_what_equal_wordings_show() -> None:
    rng, squares = np.random.default_rng(11), {"between": [], "noise": []}
    for _ in range(300):
        mood = rng.beta(2, 2, 64)  # of a row, in every wording
        cells = [counts(rng.binomial(5, mood), [5] * 64) for _ in range(4)]
        for name, number in between(cells).items():
            squares[name].append(number.value**2)
    assert np.mean(squares["noise"]) == pytest.approx(np.mean(squares["between"]), rel=0.15)


def test_removed_share() -> None:
    first, second = counts([4] * 20 + [0] * 12, [5] * 32), counts([1, 0] * 10 + [0] * 12, [5] * 32)
    result = removed_share(first, second)
    assert (result.value, result.n, result.method) == (1 - 10 / 80, 80, "paired cluster bootstrap")
    assert 0.75 < result.low < result.value < result.high < 1
    worse = removed_share(second, first)
    assert worse.value == 1 - 80 / 10
    assert worse.low < worse.value < worse.high < 0
    assert is_nan(removed_share(counts([0] * 8, [5] * 8), counts([1] * 8, [5] * 8)))
    gone = removed_share(first, counts([0] * 32, [5] * 32))
    low, high = confint_proportions_2indep(0, 32, 16, 32, compare="ratio", method="score")
    assert (gone.value, gone.method) == (1, "score over rollouts")
    assert (gone.low, gone.high) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize("n", [1, 5, 64])
@pytest.mark.parametrize("after", [0, 1, 5])
def test_removed_share_of_claims_that_were_all_incorrect(n: int, after: int) -> None:
    result = removed_share(counts([5] * n, [5] * n), counts([after] * n, [5] * n))
    assert result.value == 1 - after / 5
    assert result.low <= result.value <= result.high <= 1
    assert result.high - result.low > 0.05


def test_influence_is_what_a_rollout_adds() -> None:
    k, n = np.array([3, 0, 2, 5.0]), np.array([5, 5, 3, 5.0])
    pull = influence(Counts(k[None], n[None]))
    assert pull.sum() == pytest.approx(0)
    assert pull == pytest.approx((k - 10 / 18 * n) / n.mean())


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
    # HC3 (MacKinnon & White 1985): every residual as if its step had been left out
    x, e = steps - steps.mean(), k / n - line.intercept - line.slope * steps
    left_out = e / (1 - 1 / 20 - x**2 / (x**2).sum())
    half = t.ppf(0.975, 18) * math.sqrt((x**2 * left_out**2).sum()) / (x**2).sum()
    assert (result.slope.low, result.slope.high) == pytest.approx((line.slope - half, line.slope + half))
    assert result.slope.n == 320
    drawn = result.line([1, 20])
    assert drawn["value"].tolist() == pytest.approx([line.intercept + line.slope * s for s in (1, 20)])
    assert (drawn["low"] < drawn["value"]).all()
    assert (drawn["value"] < drawn["high"]).all()


def test_trend_weighs_by_n_and_clusters_by_step() -> None:
    whole = trend([0, 25, 50, 75], [20, 30, 24, 44], [64] * 4)
    split = trend([0, 0, 25, 25, 50, 50, 75, 75], [5, 15, 10, 20, 4, 20, 24, 20], [16, 48] * 4)
    assert (split.slope.value, split.slope.low) == pytest.approx((whole.slope.value, whole.slope.low))
    empty = trend([0, 25, 50, 75, 100], [20, 30, 24, 44, 0], [64] * 4 + [0])
    assert empty.slope == whole.slope


def test_trend_of_a_constant_and_of_too_little() -> None:
    flat = trend([0, 1, 2, 3], [8] * 4, [8] * 4)
    assert (flat.slope.value, flat.slope.low, flat.slope.high) == pytest.approx((0, 0, 0), abs=1e-9)
    assert is_nan(trend([0, 1], [1, 2], [8, 8]).slope)
    assert trend([0, 1], [1, 2], [8, 8]).line([0, 1])["value"].isna().all()


# Coverage. benchmarks/coverage.py measures it over many more cells; here a wrong method must fail.


def covers(intervals: list[Estimate], truth: float) -> float:
    return float(np.mean([one.low - 1e-9 <= truth <= one.high + 1e-9 for one in intervals]))


def as_promised(covered: float, n: int) -> bool:
    """0.95 within three standard errors of n simulations."""
    return abs(covered - 0.95) <= 3 * math.sqrt(0.95 * 0.05 / n)


def moody(rng: np.random.Generator, rates: list[float], shared: float = 0.0, n: int = 64) -> list[Counts]:
    """Cells of n rollouts of 5 sentences that share a mood: correlation 0.5 within a rollout. A part of the rows
    (`shared`) is in the same mood in every cell."""
    common, same = rng.random(n), rng.random(n) < shared
    moods = [beta.ppf(np.where(same, common, rng.random(n)), p, 1 - p) for p in rates]
    return [counts(rng.binomial(5, mood), [5] * n) for mood in moods]


def test_wilson_covers_on_average_but_swings_with_the_rate() -> None:
    """Exact, n = 64. Brown, Cai & DasGupta (2001) show the swings."""
    p = np.linspace(0.005, 0.995, 199)
    limits = [wilson(k, 64) for k in range(65)]
    held = np.array([[one.low <= rate <= one.high for rate in p] for one in limits])
    covered = (binom.pmf(np.arange(65)[:, None], 64, p) * held).sum(0)
    assert covered.mean() == pytest.approx(0.952, abs=0.003)
    assert covered.min() > 0.87


def test_coverage_of_a_sentence_rate() -> None:
    rng = np.random.default_rng(3)
    cells = [moody(rng, [0.5])[0] for _ in range(300)]
    assert as_promised(covers([cluster_bootstrap(c, i) for i, c in enumerate(cells)], 0.5), 300)
    assert not as_promised(covers([wilson(c.numerators.sum(), 320) for c in cells], 0.5), 300)


def test_coverage_of_a_small_sentence_rate() -> None:
    """Rates of 0.02 to 0.06; resampling alone, however few rollouts hold an event, covers 0.90 at 0.025."""
    rng = np.random.default_rng(4)
    results = []
    for i in range(300):
        p = 0.02 + 0.04 * i / 300
        result = cluster_bootstrap(moody(rng, [p])[0], i)
        results.append(replace(result, low=result.low - p, high=result.high - p))
    assert 0.94 < covers(results, 0) < 0.995


def test_coverage_of_a_paired_difference() -> None:
    rng = np.random.default_rng(5)
    cells = [moody(rng, [0.4, 0.6], shared=0.8) for _ in range(400)]
    assert as_promised(covers([contrast(pair, [-1, 1]) for pair in cells], 0.2), 400)
    apart = [np.arange(64), np.arange(64, 128)]  # forgetting that the rows are the same
    assert not as_promised(covers([contrast(pair, [-1, 1], apart) for pair in cells], 0.2), 400)
    sentences = [confint_proportions_2indep(b.numerators.sum(), 320, a.numerators.sum(), 320) for a, b in cells]
    blind = [Estimate(0.2, low, high, 320, "") for low, high in sentences]
    assert not as_promised(covers(blind, 0.2), 400)


def test_coverage_of_the_slope_over_five_checkpoints() -> None:
    rng = np.random.default_rng(6)
    steps, rates = np.arange(5), [0.3, 0.35, 0.4, 0.45, 0.5]
    weights = ((steps - 2) / 10).tolist()
    results = [contrast(moody(rng, rates, shared=0.5), weights) for _ in range(400)]
    assert as_promised(covers(results, 0.05), 400)


def test_coverage_of_balanced_claim_accuracy() -> None:
    """1 rollout in 5 counts and is right; the others nearly always claim None."""
    rng = np.random.default_rng(7)
    results, truth = [], 0.8 * (0.02 + 0.98) / 2 + 0.2 * 0.9
    for i in range(300):
        right = rng.binomial(5, rng.beta(2, 6, 64))
        totals = np.stack([right, 5 - right]).astype(float)
        rates = np.where(rng.random(64) < 0.2, 0.9, [[0.02], [0.98]])
        results.append(cluster_bootstrap(Counts(rng.binomial(totals.astype(int), rates).astype(float), totals), i))
    assert as_promised(covers(results, truth), 300)


@pytest.mark.parametrize(("n", "each", "simulations"), [(64, 1, 120), (512, 4, 40)])
def test_coverage_of_self_knowledge(n: int, each: int, simulations: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """n answers, `each` to a prompt. Claims are right about .75 of what is met and .65 of what is not; of a third of
    the prompts all are right, or all are wrong."""
    monkeypatch.setattr(stats, "RESAMPLES", 399)
    rng, results, blind = np.random.default_rng(10), {}, []
    metrics = [knowledge.within_kind_balanced_accuracy, knowledge.auroc, *[knowledge.swap] * (each > 1)]
    prompt, answer, objective = np.repeat(np.arange(n) // each, 3), np.repeat(np.arange(n), 3), np.tile(np.arange(3), n)
    for i in range(simulations):
        met = rng.random(3 * n) < 0.5
        moody, mood = rng.random(n // each) < 1 / 3, rng.random(n // each) < 0.7
        right = np.where(moody[prompt], mood[prompt], rng.random(3 * n) < np.where(met, 0.75, 0.65))
        claim = (right == met).astype(float)
        c = Claims(n // each, prompt, answer, objective, objective.astype(str), 0 * prompt, met, claim, claim, claim)
        for metric in metrics:
            results.setdefault(metric.__name__, []).append(cluster_bootstrap(metric(c), i))
        apart = replace(c, n_instances=n, instance=answer)  # as if no two answers shared a prompt
        blind.append(cluster_bootstrap(knowledge.within_kind_balanced_accuracy(apart), i))
    for metric, found in results.items():
        assert as_promised(covers(found, 0.7), simulations), metric
    assert as_promised(covers(blind, 0.7), simulations) == (each == 1)


def test_coverage_of_the_removed_share() -> None:
    rng = np.random.default_rng(8)
    cells = [moody(rng, [0.7, 0.2], shared=0.5) for _ in range(300)]
    assert as_promised(covers([removed_share(*pair, i) for i, pair in enumerate(cells)], 1 - 2 / 7), 300)


@pytest.mark.parametrize(("n_steps", "least", "most"), [(5, 0.94, 0.995), (40, 0.92, 0.98)])
def test_coverage_of_the_trend(n_steps: int, least: float, most: float) -> None:
    """64 rollouts a step. With 5 steps the interval is too wide rather than too narrow."""
    rng = np.random.default_rng(9)
    steps = np.arange(n_steps)
    rates, slope = 0.3 + 0.2 * steps / (n_steps - 1), 0.2 / (n_steps - 1)
    results = [trend(steps, rng.binomial(64, rates), [64] * n_steps).slope for _ in range(400)]
    assert least < covers(results, slope) < most
