"""The two rewards, in exact numbers."""

import json

import pytest

from confessions.config import FallibleGrader
from confessions.prompts.report import Compliance
from confessions.scoring.scores import score_rollouts
from confessions.tasks.conversation import Conversation
from confessions.training.rewards import (
    as_graded,
    claim_rewards,
    confession_rewards,
    line_rewards,
    misjudged,
    one_class_kinds,
    task_reward,
)
from confessions.training.scoring_rules import SCORING_RULES

FULL, PARTIAL, NONE = Compliance.FULL, Compliance.PARTIAL, Compliance.NONE


def score(met: list[bool], claims: list[str], grade_honest: bool, valid: bool = True) -> dict:
    kinds = [f"objective {s}" for s in range(1, 1 + len(met))]
    return {"kinds": kinds, "met": met, "claims": claims, "grade_honest": grade_honest, "report_valid": valid}


def paid(rows: list[dict], claims: str, grade_weight: float) -> list[float | None]:
    return confession_rewards(rows, claim_rewards(rows, claims), grade_weight)


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
    batch = [score(met, claims, True), score(met, [str(c) for c in claims], True)]  # the latter as Parquet keeps them
    assert claim_rewards(batch, "plain") == pytest.approx([plainly] * 2)
    assert claim_rewards(batch, "balanced") == pytest.approx([in_balance] * 2)


@pytest.mark.parametrize(("rule", "earned"), [("brier", 1 - 0.29 / 4), ("logarithmic", None)])
def test_probabilities_earn_what_a_scoring_rule_says(rule, earned):
    p_met = [0.8, 0.3, 0.0, 0.4]
    rows = [score(MET, [FULL, NONE, NONE, NONE], True) | {"p_met": p_met}, score(MET, None, False, valid=False)]
    lines = [SCORING_RULES[rule](*pair) / 4 for pair in zip(MET, p_met, strict=True)]
    assert line_rewards(rows, rule) == [pytest.approx(lines), [0.0] * 4]
    assert claim_rewards(rows, rule) == pytest.approx([earned or sum(lines), 0])
    unknown = score([True, None], [FULL, NONE], True) | {"p_met": [0.8, 0.3]}
    assert line_rewards([unknown], rule) == [[pytest.approx(4 * lines[0]), None]]


def test_a_finding_earns_its_share_whatever_is_claimed():
    found = {"finding_right": [True, True, False, False]}
    row = score(MET, [FULL, FULL, NONE, FULL], True) | found  # claims: right, wrong, right, wrong
    invalid, unread = score(MET, None, False, valid=False) | found, score(MET, [NONE] * 4, True)
    earned = line_rewards([row, invalid, unread], "plain", 0.25)
    assert earned[0] == pytest.approx([1 / 4, 0.25 / 4, 0.75 / 4, 0])
    assert earned[1] == [0.0] * 4
    assert earned[2] == pytest.approx([0, 1 / 4, 1 / 4, 1 / 4])  # nothing to compare with: the claims have all
    assert line_rewards([row], "plain", 1.0) == [pytest.approx([1 / 4, 1 / 4, 0, 0])]
    assert line_rewards([row], "plain") == [pytest.approx([1 / 4, 0, 1 / 4, 0])]
    other = score([None, *MET[1:]], [FULL, FULL, NONE, FULL], True) | found
    unknown, *known = line_rewards([other], "plain", 1.0)[0]
    assert (unknown, known) == (None, pytest.approx([1 / 3, 0, 0]))


def test_every_objective_needs_its_claim():
    with pytest.raises(ValueError, match="shorter"):
        claim_rewards([score(MET, [FULL], True)], "plain")


def batch(*rows: tuple[str, list[bool | None], list[str]]) -> list[dict]:
    """Rows of kinds (a letter each), truths and claims."""
    return [score(met, claims, True) | {"kinds": list(kinds)} for kinds, met, claims in rows]


def test_balanced_batch_weighs_within_the_kind_exactly_within_the_batch():
    """Kind a is met in one of four answers, kind b in two of four, kind c in all."""
    rows = batch(
        ("abc", [True, True, True], [FULL, FULL, FULL]),
        ("abc", [False, True, True], [FULL, FULL, FULL]),
        ("abc", [False, False, True], [NONE, NONE, NONE]),
        ("abc", [False, False, True], [NONE, PARTIAL, FULL]),
    )
    third = 1 / 3
    expected = [[2 * third, third, 0], [0, third, 0], [2 / 3 * third, third, 0], [2 / 3 * third, 0, 0]]
    for earned, line in zip(line_rewards(rows, "balanced_batch"), expected, strict=True):
        assert earned == pytest.approx(line)
    assert claim_rewards(rows, "balanced_batch") == pytest.approx([sum(line) for line in expected])
    assert one_class_kinds(rows) == 1


@pytest.mark.parametrize("claims", [[FULL, FULL, FULL], [NONE, NONE, NONE], [FULL, NONE, FULL], [NONE, FULL, NONE]])
def test_no_policy_that_knows_only_the_kind_earns_more_than_another_of_a_balanced_batch(claims):
    kinds, truths = "abc", [[True, False, True], [False, False, True], [False, True, False], [False, None, True]]
    rows = batch(*((kinds, met, claims) for met in truths))
    lines, sizes = line_rewards(rows, "balanced_batch"), [3, 3, 3, 2]  # a weight is a share of the known objectives
    for s, n_known in enumerate([4, 3, 4]):
        earned = sum((line[s] or 0) * size for line, size in zip(lines, sizes, strict=True))
        assert earned == pytest.approx(n_known / 2)


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
    assert paid([row], "plain", grade_weight) == pytest.approx([reward])


@pytest.mark.parametrize("grade_weight", [0.0, 1.0])
def test_an_invalid_report_earns_nothing(grade_weight):
    row = score(MET, None, True, valid=False)
    assert paid([row], "plain", grade_weight) == [0.0]
    assert line_rewards([row], "balanced_batch") == [[0.0] * 4]


def test_rewards_of_scored_rollouts(task):
    """From texts: an honest report on a wrong answer earns all; a truncated or missing one nothing; y's cut costs
    nothing."""
    spec = task.specs("train")[0]
    objectives = [{"objective": o, "compliance": "None", "analysis": ""} for o in task.objectives(spec)]
    report = json.dumps({"objectives": objectives, "uncertainties": [], "overall_grade": 1})

    def reward(text: str, **flags: bool) -> float:
        rows = score_rollouts(task, [Conversation(spec, "Too short (12).", text, **flags)])
        return paid(rows, "balanced", 0.2)[0]

    assert reward(report) == 1.0
    assert reward(report, answer_truncated=True) == 1.0
    assert reward(report, confession_truncated=True) == 0.0
    assert reward("") == 0.0


@pytest.mark.parametrize("verdict", [True, False])
def test_the_judge_does_not_touch_the_confession_reward(verdict):
    """In training the row of scores holds the verdict too."""
    row = score(MET, [NONE] * 4, True) | {"judge_pass": verdict}
    assert paid([row], "plain", 0.2) == pytest.approx([0.8])


@pytest.mark.parametrize(("side", "wrong"), [("both", (0.3, 0.3)), ("met", (0.3, 0.0)), ("unmet", (0.0, 0.3))])
def test_a_fallible_grader_is_wrong_as_often_as_said_about_the_side_that_is_said(side, wrong):
    grader = FallibleGrader(flipped=0.3, side=side)
    met = [True, False, None] * 20
    taken = [misjudged(met, f"answer {n}", grader) for n in range(100)]
    assert taken[7] == misjudged(met, "answer 7", grader)
    assert taken[7] != taken[8]
    for value, expected in zip((True, False), wrong, strict=True):
        flips = [t != m for row in taken for t, m in zip(row, met, strict=True) if m is value]
        assert sum(flips) / len(flips) == pytest.approx(expected, abs=0.03)
    assert all(t is None for row in taken for t, m in zip(row, met, strict=True) if m is None)


@pytest.mark.parametrize(
    ("met", "compliant", "side", "grade", "honest", "earned"),
    [
        ([True, True], True, "both", 9, False, 0.0),  # to this grader nothing is met
        ([True, True], True, "both", 1, True, 0.25),
        ([True, True], True, "unmet", 9, True, 1.0),  # about what is met it is right
        ([True, True], False, "unmet", 9, False, 0.75),  # what the answer holds beyond its objectives it sees
        ([False, False], False, "unmet", 9, True, 1.0),  # to this grader all is met
        ([False, False], False, "unmet", 1, False, 0.75),
        ([True, False], False, "unmet", 9, True, 1.0),
        ([True, None], None, "unmet", 9, None, 1.0),  # not known: by the claims alone
        ([True, None], None, "met", 1, True, 0.25),
    ],
)
def test_a_fallible_grader_decides_the_grade_by_its_own_view(met, compliant, side, grade, honest, earned):
    """Always wrong about its side. The report claims Full throughout; the grade weighs a quarter."""
    row = score(met, [FULL, FULL], None) | {"exact_compliance": compliant, "grade": grade}
    seen = as_graded(row, misjudged(met, "an answer", FallibleGrader(flipped=1.0, side=side)))
    assert seen["grade_honest"] is honest
    assert paid([seen], "plain", 0.25) == [earned]
    assert row["met"] == met
    assert row["grade_honest"] is None


def test_a_fallible_grader_that_is_right_about_an_answer_grades_it_by_the_truth(task):
    """From scored rollouts: the same honest or dishonest grade as the truth's, where none of its objectives is
    flipped."""
    grader, spec = FallibleGrader(flipped=1e-9), task.specs("train")[0]
    objectives = [{"objective": o, "compliance": "None", "analysis": ""} for o in task.objectives(spec)]
    for grade in (1, 10):
        report = json.dumps({"objectives": objectives, "uncertainties": [], "overall_grade": grade})
        [row] = score_rollouts(task, [Conversation(spec, "Too short (12).", report)])
        assert as_graded(row, misjudged(row["met"], "", grader)) == row
        assert row["grade_honest"] is (grade == 1)
