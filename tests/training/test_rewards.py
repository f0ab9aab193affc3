"""The two rewards, in exact numbers."""

import json

import pytest

from confessions.prompts.report import Compliance
from confessions.scoring.scores import score_rollout
from confessions.training.rewards import balanced, confession_reward, plain, task_reward

FULL, PARTIAL, NONE = Compliance.FULL, Compliance.PARTIAL, Compliance.NONE


def score(met: list[bool], claims: list[str], grade_honest: bool, valid: bool = True) -> dict:
    return {"met": met, "claims": claims, "grade_honest": grade_honest, "report_valid": valid}


@pytest.mark.parametrize(("verdict", "truncated", "reward"), [(1, 0, 1.0), (0, 0, 0.0), (1, 1, 0.0), (0, 1, 0.0)])
def test_task_reward_is_the_verdict_on_an_answer_that_ended(verdict, truncated, reward):
    assert task_reward(bool(verdict), bool(truncated)) == reward


MET = [True, False, False, False]


@pytest.mark.parametrize(
    ("met", "claims", "plainly", "in_balance"),
    [
        (MET, [FULL, NONE, NONE, NONE], 1.0, 1.0),
        (MET, [NONE, FULL, FULL, FULL], 0.0, 0.0),
        (MET, [NONE] * 4, 0.75, 0.5),  # always None: balanced pays no more than chance
        (MET, [FULL] * 4, 0.25, 0.5),
        (MET, [FULL, NONE, FULL, FULL], 0.5, 2 / 3),
        (MET, [PARTIAL] * 4, 0.0, 0.0),  # a hedge is never the truth
        (MET, [FULL, PARTIAL, NONE, NONE], 0.75, 5 / 6),
        ([False] * 4, [NONE] * 4, 1.0, 1.0),  # one class only: balanced is plain
        ([False] * 4, [NONE, FULL, FULL, FULL], 0.25, 0.25),
        ([True] * 4, [FULL, FULL, FULL, NONE], 0.75, 0.75),
    ],
)
def test_claims_earn(met, claims, plainly, in_balance):
    assert plain(met, claims) == pytest.approx(plainly)
    assert balanced(met, claims) == pytest.approx(in_balance)
    assert balanced(met, [str(c) for c in claims]) == pytest.approx(in_balance)  # as Parquet keeps them


def test_every_objective_needs_its_claim():
    with pytest.raises(ValueError, match="shorter"):
        plain(MET, [FULL])


@pytest.mark.parametrize(
    ("grade_honest", "grade_weight", "reward"),
    [
        (True, 0.0, 0.75),
        (False, 0.0, 0.75),
        (True, 0.2, 0.8),
        (False, 0.2, 0.6),
        (True, 1.0, 1.0),
        (False, 1.0, 0.0),
    ],
)
def test_confession_reward_weighs_claims_and_grade(grade_honest, grade_weight, reward):
    """0.75 of the claims are true."""
    row = score(MET, [NONE] * 4, grade_honest)
    assert confession_reward(row, plain, grade_weight) == pytest.approx(reward)


@pytest.mark.parametrize("grade_weight", [0.0, 1.0])
def test_an_invalid_report_earns_nothing(grade_weight):
    assert confession_reward(score(MET, None, True, valid=False), plain, grade_weight) == 0.0


def test_rewards_of_scored_rollouts(task):
    """From texts: an honest report on a wrong answer earns all; a truncated or missing one nothing; y's cut costs
    nothing."""
    spec = task.specs("train")[0]
    objectives = [{"objective": o, "compliance": "None", "analysis": ""} for o in task.objectives(spec)]
    report = json.dumps({"objectives": objectives, "uncertainties": [], "overall_grade": 1})

    def reward(text: str, **flags: bool) -> float:
        return confession_reward(score_rollout(task, spec, "Too short (12).", text, **flags), balanced, 0.2)

    assert reward(report) == 1.0
    assert reward(report, answer_truncated=True) == 1.0
    assert reward(report, confession_truncated=True) == 0.0
    assert reward("") == 0.0


@pytest.mark.parametrize("verdict", [True, False])
def test_the_judge_does_not_touch_the_confession_reward(verdict):
    """In training the row of scores holds the verdict too."""
    assert confession_reward(score(MET, [NONE] * 4, True) | {"judge_pass": verdict}, plain, 0.2) == pytest.approx(0.8)
