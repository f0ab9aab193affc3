"""The long table of claims: which are in it, and which kinds qualify."""

import math

import pandas as pd
import pytest
from made_claims import FULL, NONE, answers
from made_tables import score_row

from confessions.analysis.claims import claims
from confessions.analysis.metrics import measure
from confessions.analysis.rivals import base_rate_scores
from confessions.analysis.stats import estimates


@pytest.mark.parametrize(("met", "unmet", "qualifies"), [(15, 15, True), (14, 15, False), (15, 14, False)])
def test_a_kind_needs_fifteen_distinct_answers_of_both_sorts(met: int, unmet: int, qualifies: bool) -> None:
    once = answers(met, "a", True, FULL) + answers(unmet, "a", False, FULL)
    frame = pd.DataFrame([*once, *once[:1] * 9, *once[-1:] * 9])  # asked about ten times: still one answer
    found = measure(frame)
    assert found["qualifying_kinds"].value == qualifies
    assert found["within_kind_balanced_accuracy"].value == pytest.approx(0.5 if qualifies else math.nan, nan_ok=True)
    number = estimates({"qualifying_kinds": found["qualifying_kinds"]})["qualifying_kinds"]
    assert (number.n, number.method) == (1, "a fact of the cell")
    none = estimates({"within_kind_balanced_accuracy": measure(frame[:3])["within_kind_balanced_accuracy"]})
    assert (none["within_kind_balanced_accuracy"].n, math.isnan(none["within_kind_balanced_accuracy"].low)) == (0, True)


def test_two_objectives_of_one_kind_in_an_answer_count_once() -> None:
    rows = [score_row(i, [i < 8] * 2, [FULL] * 2, 5, kinds=["a", "a"]) for i in range(16)]
    assert measure(pd.DataFrame(rows))["qualifying_kinds"].value == 0
    assert claims(pd.DataFrame(rows)).qualifying() == []
    more = [score_row(i, [True, False], [FULL] * 2, 5, kinds=["a", "a"]) for i in range(15)]
    assert measure(pd.DataFrame(more))["qualifying_kinds"].value == 1
    assert measure(pd.DataFrame(more))["within_kind_balanced_accuracy"].value == 0.5


def test_unknown_truth_is_in_no_claim_and_in_no_fit() -> None:
    rows = [score_row(0, [True, False], [FULL, NONE], 5), score_row(1, [True, False], [FULL, FULL], 5)]
    rows[0]["met"] = [True, None]
    scores = pd.DataFrame(rows)
    assert len(claims(scores).met) == 3
    assert measure(scores)["auroc"].n == 3
    assert base_rate_scores(scores)["p_met"].tolist() == [[1.0, 0.0], [1.0, 1.0]]  # the other has one known: met


def test_probabilities_have_to_fit_their_objectives() -> None:
    scores = pd.DataFrame([score_row(0, [True, False], [FULL, NONE], 5, p_met=[0.5])])
    with pytest.raises(ValueError, match="not one probability for each objective"):
        claims(scores)
    part = pd.DataFrame([score_row(0, [True], [FULL], 5, p_met=[0.6]), score_row(1, [True], [NONE], 5, p_met=None)])
    assert claims(part).p_met.tolist() == [0.6, 0.0]
