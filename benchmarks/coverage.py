"""How often the 95 % intervals of confessions.analysis.stats hold the truth, on simulated cells whose truth is known.

    python benchmarks/coverage.py [--simulations 1000] [--only "paired difference"] [--rollouts 64]

Prints the tables of docs/results/coverage.md. 1,000 simulations know a coverage to within +- 0.014. A rollout has a
mood, beta distributed, that its five sentences share: `icc` is their correlation. `shared` is the correlation of a
row's moods in two cells. Wilson's coverage is computed, not simulated.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from itertools import product

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.stats import beta, binom, norm

from confessions.analysis import knowledge, stats
from confessions.analysis.claims import Claims
from confessions.analysis.stats import Estimate, cluster_bootstrap, contrast, removed_share, trend, wilson
from confessions.analysis.sums import Counts, Statistic

Rng = np.random.Generator
S = 5


def sentences(rng: Rng, n: int, p: list[float], icc: float, shared: float = 0.0, size: int = S) -> list[Counts]:
    """Cells of n rollouts with rates p. icc 1 and size 1: rates of rollouts."""
    common = rng.standard_normal(n)
    cells = []
    for rate in p:
        mood = norm.cdf(np.sqrt(shared) * common + np.sqrt(1 - shared) * rng.standard_normal(n))
        if icc < 1:
            strength = (1 - icc) / icc
            k = rng.binomial(size, beta.ppf(mood, rate * strength, (1 - rate) * strength))
        else:
            k = size * (mood < rate)
        cells.append(Counts(k[None].astype(float), np.full((1, n), float(size))))
    return cells


def claims(rng: Rng, n: int, right: float, full: float, none: float, counting: float) -> Counts:
    """P(Full | right) and P(None | wrong) of a policy that counts in a share of its rollouts and is right then in 9 of
    10 claims; else it claims by these two rates."""
    counted = rng.random(n) < counting
    n_right = rng.binomial(S, rng.beta(right * 9, (1 - right) * 9, n))
    totals = np.stack([n_right, S - n_right])
    rates = np.where(counted, 0.9, [[full], [none]])
    return Counts(rng.binomial(totals, rates).astype(float), totals.astype(float))


def balanced(full: float, none: float, counting: float) -> float:
    return (1 - counting) * (full + none) / 2 + counting * 0.9


Scenario = tuple[str, float, Callable[[Rng, int], Estimate]]  # name, truth, one simulated interval


def rates(n: int) -> Iterator[Scenario]:
    for icc, p in product((0.1, 0.5, 0.8), (0.01, 0.03, 0.05, 0.1, 0.3, 0.5, 0.9, 0.97)):
        yield f"icc {icc}, rate {p}", p, lambda rng, i, p=p, icc=icc: cluster_bootstrap(*sentences(rng, n, [p], icc), i)


def edges(n: int) -> Iterator[Scenario]:
    """Rates drawn anew in every simulation: interval minus rate holds 0."""
    for icc in (0.1, 0.5, 0.8):

        def draw(rng: Rng, i: int, icc: float = icc) -> Estimate:
            p = np.exp(rng.uniform(np.log(0.005), np.log(0.12)))
            got = cluster_bootstrap(*sentences(rng, n, [p], icc), i)
            return Estimate(got.value - p, got.low - p, got.high - p, got.n, got.method)

        yield f"icc {icc}, rates from 0.005 to 0.12", 0.0, draw


def few(n: int) -> Iterator[Scenario]:
    for size, p in product((8, 16, 32), (0.1, 0.5)):
        name = f"{size} rollouts, icc 0.5, rate {p}"
        yield name, p, lambda rng, i, p=p, size=size: cluster_bootstrap(*sentences(rng, size, [p], 0.5), i)


POLICIES = {  # right, P(Full | right), P(None | wrong) without counting, share of rollouts that count
    "claims at random": (0.24, 0.5, 0.5, 0.0),
    "mostly Full, counts in 1 of 5": (0.24, 0.85, 0.1, 0.2),
    "mostly None": (0.24, 0.02, 0.98, 0.0),
    "counts": (0.24, 0.9, 0.9, 1.0),
    "5 % right, mostly Full": (0.05, 0.85, 0.1, 0.2),
    "5 % right, mostly None": (0.05, 0.02, 0.98, 0.0),
    "2 % right, counts": (0.02, 0.9, 0.9, 1.0),
}


def balances(n: int) -> Iterator[Scenario]:
    for name, (right, *policy) in POLICIES.items():
        yield name, balanced(*policy), lambda rng, i, a=(right, *policy): cluster_bootstrap(claims(rng, n, *a), i)


def differences(n: int) -> Iterator[Scenario]:
    shapes = {"rollouts": (1.0, 1), "sentences, icc 0.5": (0.5, S)}
    pairs = ((0.5, 0.5), (0.5, 0.7), (0.1, 0.2), (0.9, 0.97), (0.03, 0.03), (0.01, 0.01))
    for (name, (icc, size)), shared, (a, b) in product(shapes.items(), (0.0, 0.8), pairs):

        def draw(rng: Rng, i: int, p=(a, b), icc=icc, shared=shared, size=size) -> Estimate:
            return contrast(sentences(rng, n, list(p), icc, shared, size), [-1, 1])

        yield f"{name}, shared {shared}, {a} and {b}", b - a, draw


def balanced_differences(n: int) -> Iterator[Scenario]:
    for first, second in (
        ("claims at random", "counts"),
        ("mostly Full, counts in 1 of 5", "mostly None"),
        ("mostly None", "mostly None"),
        ("5 % right, mostly Full", "5 % right, mostly None"),
        ("5 % right, mostly Full", "counts"),
        ("5 % right, mostly None", "2 % right, counts"),
    ):
        a, b = POLICIES[first], POLICIES[second]
        truth = balanced(*b[1:]) - balanced(*a[1:])
        draw = lambda rng, i, a=a, b=b: contrast([claims(rng, n, *a), claims(rng, n, *b)], [-1, 1])  # noqa: E731
        yield f"{first} → {second}", truth, draw


def slopes(n: int) -> Iterator[Scenario]:
    off = np.arange(5) - 2
    shapes = ((0.3, 0.35, 0.4, 0.45, 0.5), (0.1, 0.3, 0.2, 0.5, 0.4), (0.02,) * 5)
    for icc, shared, p in product((0.5,), (0.0, 0.8), shapes):

        def draw(rng: Rng, i: int, p=p, icc=icc, shared=shared) -> Estimate:
            return contrast(sentences(rng, n, list(p), icc, shared), (off / 10).tolist())

        name = f"icc {icc}, shared {shared}, {', '.join(map(str, p))}"
        yield name, float((off / 10) @ np.array(p)), draw


def removals(n: int) -> Iterator[Scenario]:
    pairs = ((0.7, 0.2), (0.7, 0.7), (0.5, 0.05), (0.3, 0.01), (0.1, 0.1), (0.03, 0.01))
    for icc, shared, (a, b) in product((0.1, 0.5), (0.5,), pairs):

        def draw(rng: Rng, i: int, p=(a, b), icc=icc, shared=shared) -> Estimate:
            return removed_share(*sentences(rng, n, list(p), icc, shared), i)

        yield f"icc {icc}, shared {shared}, {a} → {b}", 1 - b / a, draw


def sides(n: int) -> Iterator[Scenario]:
    for part, (a, b) in product((4, 8, 16, 32), ((0.9, 0.6), (0.97, 0.3), (0.5, 0.5))):

        def draw(rng: Rng, i: int, part=part, a=a, b=b) -> Estimate:
            cells = sentences(rng, part, [a], 0.3) + sentences(rng, n - part, [b], 0.3)
            return contrast(cells, [1, -1], [np.arange(part), np.arange(part, n)])

        yield f"{part} verified at {a}, {n - part} not at {b}", a - b, draw


def trends(n: int) -> Iterator[Scenario]:
    for steps, (first, last), wobble in product((5, 8, 20, 100), ((0.3, 0.5), (0.02, 0.05)), (0.05,)):

        def draw(rng: Rng, i: int, steps=steps, first=first, last=last, wobble=wobble) -> Estimate:
            p = np.linspace(first, last, steps)
            p = np.clip(p + wobble * rng.uniform(-1, 1, steps) * np.minimum(1, p / 0.1), 0, 1)
            return trend(np.arange(steps), rng.binomial(n, p), np.full(steps, n)).slope

        yield f"{steps} steps, {first} to {last}, wobble {wobble}", (last - first) / (steps - 1), draw


def confessed(
    rng: Rng, n: int, right: tuple[float, float], mood: float, shared: bool = False, apart: float = 0.0
) -> Claims:
    """The claims about n answers, each to six objectives of eight kinds (n >= 256: twelve), met at rates of .25 to .75.

    `right`: P(Full | met), P(None | unmet). A part `mood` of the instances has all claims right or all wrong. `shared`:
    four answers an instance. `apart`: p_met is a normal score, that much higher where met, in place of the claim.
    """
    rates = np.linspace(0.25, 0.75, 8 if n < 256 else 12)
    answer, objective = np.repeat(np.arange(n), 6), np.tile(np.arange(6), n)
    instance = answer // 4 if shared else answer
    # An objective of an instance has one kind.
    kinds = np.array([rng.permutation(len(rates))[:6] for _ in range(instance.max() + 1)])[instance, objective]
    met = rng.random(6 * n) < rates[kinds]
    moody = (rng.random(n) < mood)[instance]
    good = np.where(moody, (rng.random(n) < np.mean(right))[instance], rng.random(6 * n) < np.where(met, *right))
    claim = (good == met).astype(float)
    score = norm.cdf(rng.standard_normal(6 * n) + apart * met) if apart else claim
    of_one = np.zeros(6 * n, dtype=int)
    names = (answer.astype(str), objective, kinds.astype(str))
    return Claims(int(instance.max()) + 1, instance, *names, of_one, met, claim, score)


def knows(metric: Callable[[Claims], Statistic], shared: bool = False) -> Callable[[int], Iterator[Scenario]]:
    """A metric that is the mean of P(Full | met) and P(None | unmet), for policies whose rates are known."""

    def scenarios(n: int) -> Iterator[Scenario]:
        for right, mood in product(((0.75, 0.6), (0.9, 0.1), (0.95, 0.95), (0.99, 0.99)), (0.0, 0.3)):

            def draw(rng: Rng, i: int, right=right, mood=mood) -> Estimate:
                return cluster_bootstrap(metric(confessed(rng, n, right, mood, shared)), i)

            yield f"Full of met {right[0]}, None of unmet {right[1]}, mood {mood}", float(np.mean(right)), draw

    return scenarios


def areas(n: int) -> Iterator[Scenario]:
    for apart in (0.0, 1.0, 2.5):

        def draw(rng: Rng, i: int, apart=apart) -> Estimate:
            return cluster_bootstrap(knowledge.auroc(confessed(rng, n, (0.5, 0.5), 0.0, apart=apart)), i)

        yield f"probabilities {apart} deviations apart", float(norm.cdf(apart / np.sqrt(2))), draw


SUBJECTS = {
    "sentence rate": rates,
    "sentence rate, averaged at the edge": edges,
    "sentence rate, fewer rollouts": few,
    "balanced claim accuracy": balances,
    "paired difference": differences,
    "paired difference of balanced claim accuracy": balanced_differences,
    "slope over five checkpoints": slopes,
    "removed by forced count": removals,
    "verified minus unverified": sides,
    "trend of a training log": trends,
    "balanced accuracy within kind": knows(knowledge.within_kind_balanced_accuracy),
    "AUROC of claims": knows(knowledge.auroc),
    "AUROC of probabilities": areas,
    "swap, four answers a prompt": knows(knowledge.swap, shared=True),
}


def wilson_coverage(n: int) -> None:
    """Exact: every outcome's probability where its interval holds the rate."""
    p = np.linspace(0.001, 0.999, 999)
    low, high = np.array([(r.low, r.high) for r in (wilson(k, n) for k in range(n + 1))]).T
    held = (low[:, None] <= p) & (p <= high[:, None])
    covered = (binom.pmf(np.arange(n + 1)[:, None], n, p) * held).sum(0)
    for name, inside in (
        ("all", p > 0),
        ("0.1 to 0.9", (p >= 0.1) & (p <= 0.9)),
        ("below 0.1 or above 0.9", abs(p - 0.5) > 0.4),
    ):
        lowest, highest = covered[inside].min(), covered[inside].max()
        print(f"| n {n}, rates: {name} | {covered[inside].mean():.3f} | {lowest:.3f} to {highest:.3f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=999, help="of a bootstrap; the tables take 4,999")
    parser.add_argument("--rollouts", type=int, default=64, help="a cell")
    parser.add_argument("--only", choices=("wilson", *SUBJECTS))
    chosen = parser.parse_args()
    stats.RESAMPLES = chosen.resamples
    if chosen.only in (None, "wilson"):
        print("\n### Wilson (exact)\n")
        for n in (16, 64, 256):
            wilson_coverage(n)
    for subject, scenarios in SUBJECTS.items():
        if chosen.only not in (None, subject):
            continue
        print(f"\n### {subject}\n\n| truth | covered | width | most frequent method |\n|---|---|---|---|")
        for number, (name, truth, draw) in enumerate(scenarios(chosen.rollouts)):
            rng = np.random.default_rng(number)
            got = [draw(rng, i) for i in range(chosen.simulations)]
            got = [one for one in got if np.isfinite(one.value)]
            covered = np.mean([one.low - 1e-9 <= truth <= one.high + 1e-9 for one in got])
            width = np.mean([one.high - one.low for one in got])
            methods = [one.method for one in got]
            common = max(set(methods), key=methods.count)
            share = methods.count(common) / len(methods)
            print(f"| {name} | {covered:.3f} | {width:.3f} | {common} ({share:.0%}) |", flush=True)


if __name__ == "__main__":
    main()
