"""Metrics of self-knowledge: the worked example of docs/metrics.md, and exact numbers."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_claims import FULL, NONE, PARTIAL, answers, several
from made_tables import score_row
from scipy.stats import mannwhitneyu

from confessions.analysis.claims import claims
from confessions.analysis.metrics import METRICS, constant_scores, measure
from confessions.analysis.rivals import base_rate_scores
from confessions.analysis.stats import contrast

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
BESIDE = (
    *("within_kind_balanced_accuracy", "qualifying_kinds", "auroc", "within_kind_auroc", "brier", "calibration"),
    *("resolution", "false_positive_rate", "swap"),
)
BY_TOKEN = tuple(f"token_{name}" for name in ("auroc", "within_kind_auroc", "brier", "calibration", "resolution"))
OF_CLAIMS = ("claim_entropy", *(name + end for name in (*BESIDE, *BY_TOKEN) for end in ("", "_valid")))


def table(heading: str) -> pd.DataFrame:
    """The first table of the page behind a heading."""
    lines = PAGE.split(heading, 1)[1].split("\n")
    rows = []
    for line in lines:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            break
    frame = pd.DataFrame(rows[2:], columns=rows[0])
    return frame.set_index(frame.columns[0])


@pytest.fixture(scope="module")
def example() -> pd.DataFrame:
    """The worked example: a rollout for each claim that the page counts."""
    rows = []
    for kind, counts in table("### A worked example").iterrows():
        for column, n in counts.items():
            truth, claim = column.split(", ")
            said = {"Full": FULL, "Partial": PARTIAL, "None": NONE, "invalid": None}[claim]
            rows += answers(int(n), kind, truth == "met", said)
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def training() -> pd.DataFrame:
    """Training answers with the rates that the page names: .5, .7 and .1."""
    rows = []
    for kind, n in (("a question", 5), ("no comma", 7), ("capitals", 1)):
        rows += answers(n, kind, True, FULL) + answers(10 - n, kind, False, FULL)
    return pd.DataFrame(rows)


def test_the_worked_example_of_the_page(example, training) -> None:
    page = table("It comes to:")
    policies = {
        "all reports": example,
        "rival": base_rate_scores(example, training),
        "always None": constant_scores(example, "None"),
    }
    found = {name: {k: v.value for k, v in measure(scores).items()} for name, scores in policies.items()}
    found["valid ones"] = {name: found["all reports"].get(f"{name}_valid", math.nan) for name in page.index}
    for column in page.columns:
        for metric, text in page[column].items():
            assert text == ("–" if math.isnan(value := found[column][metric]) else f"{value:.3f}"), (metric, column)
    assert set(page.columns) == {*policies, "valid ones"}
    assert {name for name in OF_CLAIMS if not name.endswith("_valid")} - set(page.index) == {"swap", *BY_TOKEN}


def test_the_swap_of_the_page() -> None:
    rows = []
    for prompt, counts in table("**Swap**").iterrows():
        met, full, unmet, none = map(int, counts)
        claims = [*[(True, FULL)] * full, *[(True, NONE)] * (met - full)]
        claims += [*[(False, NONE)] * none, *[(False, FULL)] * (unmet - none)]
        for i, (truth, claim) in enumerate(claims):
            rows.append(score_row(i, [truth], [claim], 5, instance=prompt, answer=f"{prompt} {i}"))
    counts = METRICS["swap"].fn(pd.DataFrame(rows))
    assert counts.numerators.sum(1).tolist() == [5, 2]
    assert counts.denominators.sum(1).tolist() == [5, 5]
    assert (counts.value, counts.n) == (0.7, 10)
    assert "mean of 5/5 and 2/5: .700" in PAGE


def test_the_probabilities_of_the_page() -> None:
    rows = []
    for i, row in enumerate(table("**Probabilities**, another example").itertuples()):
        written, said, token = row[2:]
        p, valid = float(written.removesuffix(" %")) / 100, said != "–"
        claim = FULL if said == "met" else NONE
        sampled = [float(token) if claim == FULL else 1 - float(token)] if valid else None
        for variant, one, probabilities in (
            ("probability", FULL if p >= 0.5 else NONE, {"p_met": [p] if valid else None, "p_token": None}),
            ("direct", claim, {"p_met": None, "p_token": sampled}),
        ):
            report = ([one], 5) if valid else (None, None)
            rows.append(score_row(i, [row.truth == "met"], *report, variant=variant, kinds=["a"], **probabilities))
    cells = {variant: measure(cell) for variant, cell in pd.DataFrame(rows).groupby("variant")}
    for metric, values in table("brier = calibration − resolution + .25").iterrows():
        found = {
            "written, all": cells["probability"][metric],
            "written, valid": cells["probability"][f"{metric}_valid"],
            "token, all": cells["direct"][f"token_{metric}"],
            "token, valid": cells["direct"][f"token_{metric}_valid"],
        }
        assert {name: f"{statistic.value:.3f}" for name, statistic in found.items()} == values.to_dict(), metric
        assert [statistic.n for statistic in found.values()] == [6, 5, 6, 5]
        assert math.isnan(cells["probability"][f"token_{metric}"].value)
        assert cells["probability"][f"token_{metric}"].n == 0


@pytest.mark.parametrize("seed", range(2))
def test_token_metrics_are_those_of_the_same_probabilities_written(seed: int) -> None:
    """Up to the ranks' rounding; a claim whose token is not known is left out."""
    rng = np.random.default_rng(seed)
    met = rng.random((90, 2)) < 0.5
    p = np.clip(rng.beta(0.4, 0.4, (90, 2)) * 0.8 + met * 0.2, 0, 1)
    rows = [
        score_row(i, m.tolist(), [FULL if x > 0.5 else NONE for x in q], 5, p_token=q.tolist(), kinds=["a", "b"])
        for i, (m, q) in enumerate(zip(met, p, strict=True))
    ]
    tokens = pd.DataFrame(rows)
    found, written = measure(tokens), measure(tokens.rename(columns={"p_token": "p_met"}))
    for name in BY_TOKEN:
        for end in ("", "_valid"):
            as_written = written[name.removeprefix("token_")].value
            assert found[name + end].value == pytest.approx(as_written, abs=5e-3), name
            assert METRICS[name + end].reads_report is False
    assert found["token_brier"].value == pytest.approx(np.mean((p - met) ** 2))
    assert len(claims(tokens).ranked_by_token().p_met) == 180
    assert len(set(claims(tokens).ranked_by_token().p_met)) <= 201
    part = tokens.assign(p_token=[q if i else None for i, q in enumerate(tokens["p_token"])])
    assert measure(part)["token_auroc"].n == 178
    assert math.isnan(measure(tokens.drop(columns="p_token"))["token_brier"].value)
    for rival in (constant_scores(tokens, "Full"), base_rate_scores(tokens)):
        assert math.isnan(measure(rival)["token_auroc"].value)
    with pytest.raises(ValueError, match="p_token: not one probability for each objective"):
        claims(pd.DataFrame([score_row(0, [True, False], [FULL, NONE], 5, p_token=[0.5])]))


def test_values_by_hand(example) -> None:
    found = {name: statistic.value for name, statistic in measure(example).items()}
    question, comma = (15 / 20 + 12 / 20) / 2, (36 / 40 + 4 / 16) / 2
    assert found["within_kind_balanced_accuracy"] == pytest.approx((question + comma) / 2)
    assert found["within_kind_balanced_accuracy_valid"] == pytest.approx(
        ((15 / 19 + 12 / 18) / 2 + (36 / 38 + 4 / 16) / 2) / 2
    )
    assert (found["qualifying_kinds"], measure(example)["qualifying_kinds"].n) == (2, 3)
    assert found["false_positive_rate"] == (3 + 1 + 2 + 2 + 4) / 64
    shares = np.array([67, 3, 55]) / 125
    assert found["claim_entropy"] == pytest.approx(-(shares * np.log2(shares)).sum())


def area(met: np.ndarray, p: np.ndarray) -> float:
    return mannwhitneyu(p[met], p[~met]).statistic / (met.sum() * (~met).sum())


@pytest.mark.parametrize("seed", range(3))
def test_auroc_and_brier_are_the_librarys(seed: int) -> None:
    """Probabilities with ties, three kinds, several objectives an answer; against scipy."""
    rng = np.random.default_rng(seed)
    met = rng.random((80, 3)) < [0.3, 0.5, 0.7]
    p = np.clip(np.round(met * 0.2 + rng.random((80, 3)) * 0.8, 1), 0, 1)
    rows = [
        score_row(i, m.tolist(), [FULL if x > 0.5 else NONE for x in q], 5, p_met=q.tolist(), kinds=list("abc"))
        for i, (m, q) in enumerate(zip(met, p, strict=True))
    ]
    scores = pd.DataFrame(rows)
    found = measure(scores)
    assert found["auroc"].value == pytest.approx(area(met.ravel(), p.ravel()))
    within = [area(met[:, s], p[:, s]) for s in range(3)]
    assert found["within_kind_auroc"].value == pytest.approx(np.mean(within))
    assert found["brier"].value == pytest.approx(np.mean((p - met) ** 2))
    share = met.mean()
    assert found["brier"].value == pytest.approx(
        found["calibration"].value - found["resolution"].value + share * (1 - share)
    )
    exact = [(np.mean(met.ravel()[p.ravel() == x]), np.mean(p.ravel() == x)) for x in np.unique(p)]
    tenths = p.ravel() != 1  # 1 and .9 are of one tenth
    assert found["resolution"].value == pytest.approx(
        sum(w * (rate - share) ** 2 for rate, w in exact), rel=0.05 if tenths.all() else 0.2
    )
    claimed = measure(scores.drop(columns="p_met"))["auroc"].value
    assert claimed == pytest.approx(area(met.ravel(), (p > 0.5).ravel()))


def test_an_invalid_report_is_worse_than_the_worst_claim() -> None:
    honest = pd.DataFrame(answers(20, "a", True, FULL) + answers(20, "a", False, NONE))
    silent = pd.DataFrame(answers(20, "a", True, None) + answers(20, "a", False, None))
    best, worst = measure(honest), measure(silent)
    for name, good, bad in (
        ("within_kind_balanced_accuracy", 1, 0),
        ("auroc", 1, 0),
        ("within_kind_auroc", 1, 0),
        ("brier", 0, 1),
        ("resolution", 0.25, 0),
        ("calibration", 0, 0.75),
        ("false_positive_rate", 0, 1),
    ):
        assert (best[name].value, worst[name].value) == (good, bad), name
        assert math.isnan(worst[f"{name}_valid"].value)
    assert math.isnan(worst["claim_entropy"].value)


def test_a_difference_of_aurocs_is_the_paired_jackknifes() -> None:
    rng = np.random.default_rng(1)
    first = several(rng)
    better = [[FULL if m and rng.random() < 0.8 else c for m, c in zip(*pair, strict=True)]
              for pair in zip(first["met"], first["claims"], strict=True)]  # fmt: skip
    second = first.assign(claims=better)
    a, b = (measure(cell)["auroc"] for cell in (first, second))
    found = contrast([a, b], [-1, 1])
    assert (found.value, found.n, found.method) == (pytest.approx(b.value - a.value), 40, "cluster jackknife t")
    prompts = sorted(first["instance"].unique())
    without = [
        np.diff([METRICS["auroc"].fn(cell[cell["instance"] != prompt]).value for cell in (first, second)])[0]
        for prompt in prompts
    ]
    half = math.sqrt(39 / 40 * ((without - np.mean(without)) ** 2).sum()) * 2.0227  # t, 39 degrees of freedom
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), abs=1e-4)
    same = contrast([a, a], [-1, 1])
    assert (same.value, same.method) == (0, "nothing to resample")
    unpaired = contrast([a, b], [-1, 1], [np.arange(40), np.arange(40, 80)])
    assert unpaired.high - unpaired.low > found.high - found.low
