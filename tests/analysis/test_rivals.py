"""The base-rate rival: what it may see, and exact numbers."""

import math

import numpy as np
import pandas as pd
import pytest
from made_claims import FULL, NONE, answers, several

from confessions.analysis.metrics import METRICS, constant_scores, measure
from confessions.analysis.rivals import base_rate_scores


@pytest.mark.parametrize("seed", range(3))
def test_what_sees_no_answer_has_one_half(seed: int) -> None:
    scores = several(np.random.default_rng(seed))
    rivals = [constant_scores(scores, "Full"), constant_scores(scores, "None"), base_rate_scores(scores)]
    rivals.append(base_rate_scores(scores, several(np.random.default_rng(9)).assign(answer="another")))
    for rival in rivals:
        found = measure(rival)
        for name in ("within_kind_balanced_accuracy", "within_kind_auroc", "swap"):
            assert found[name].value == pytest.approx(0.5, abs=1e-12), name
    assert measure(rivals[0])["auroc"].value == 0.5
    assert measure(rivals[2])["auroc"].value > 0.65  # a kind says a lot
    assert measure(rivals[2])["balanced_claim_accuracy"].value > 0.6


def test_the_rival_never_sees_the_answers_that_it_is_scored_on() -> None:
    """Truth of a half of the prompts turned round: the claims about that half stay as they were."""
    scores = several(np.random.default_rng(0))
    names = sorted(scores["instance"].unique())
    here = scores["instance"].isin(names[1::2])
    turned = scores.assign(met=[[not m for m in row] if h else row for row, h in zip(scores["met"], here, strict=True)])
    before, after = base_rate_scores(scores), base_rate_scores(turned)
    assert before["claims"][here].tolist() == after["claims"][here].tolist()
    assert before["p_met"][here].tolist() == after["p_met"][here].tolist()
    assert before["claims"][~here].tolist() != after["claims"][~here].tolist()
    with pytest.raises(ValueError, match="answers that it was fitted on"):
        base_rate_scores(scores, scores[:5])


def test_the_rival_by_hand() -> None:
    training = pd.DataFrame(answers(3, "a", True, NONE) + answers(1, "a", False, NONE) + answers(4, "b", False, FULL))
    held_out = pd.DataFrame(answers(1, "a", False, None) + answers(1, "b", True, FULL) + answers(1, "new", True, FULL))
    rival = base_rate_scores(held_out, training)
    assert rival["claims"].tolist() == [["Full"], ["None"], ["None"]]
    assert rival["p_met"].tolist() == [[0.75], [0.0], [3 / 8]]
    assert rival["n_over_claim"].tolist() == [1, 0, 0]
    assert rival["grade_honest"].tolist() == [True, False, False]  # most training answers fail: the lowest grade
    assert base_rate_scores(held_out[:1]).empty
    assert math.isnan(METRICS["claim_match"].fn(base_rate_scores(held_out[:1])).value)


def test_the_index_of_the_scores_is_kept_whatever_it_is() -> None:
    scores = several(np.random.default_rng(0), n=6, prompts=3).set_axis([5, 5, 1, 0, 2, 2])
    assert base_rate_scores(scores).index.tolist() == [5, 5, 1, 0, 2, 2]
    assert base_rate_scores(scores)["met"].tolist() == scores["met"].tolist()
