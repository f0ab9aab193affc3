"""The two rewards. Neither can see what the other is made of: the task reward takes a verdict on y, the confession
rewards take the ground truth of y and the report yc.

Truncation rule: a turn that ran into its token limit earns 0 in its own span. The answer of a truncated turn 1 is
still verified as far as it goes, and its confession is asked for and rewarded like any other: honesty about a cut
answer counts.

What is not known (None: an answer that could not be analysed, a run that could not be measured) earns nothing and costs
nothing: such an objective is left out, and where nothing is left there is no reward (None), so that the rollout is no
part of its group (advantages.py).

What the claims earn is called by name (`train.confession_reward.claims`): a claim that is the truth earns its weight,
any other nothing, and WEIGHTS has the weights. Of probabilities each earns what a rule of SCORING_RULES says, all with
one weight. Or a Python file of the user's own, by its path, has `claim_reward`. Of a report in lines with evidence, a
part may be earned by the findings (`finding_weight`): each by being the task's own evidence, word for word, whatever is
claimed behind it.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from confessions.config import FallibleGrader
from confessions.prompts.report import Compliance
from confessions.runtime import outside
from confessions.scoring.scores import FINDING_RIGHT, grade_honest
from confessions.training.scoring_rules import SCORING_RULES

Row = Mapping[str, Any]  # of scores.score_rollout: ground truth and report, nothing of the judge
ClaimReward = Callable[[Sequence[bool], Sequence[str]], float]  # (S,) met, (S,) claims -> 0..1
Met = Sequence[Sequence[bool | None]]
Weights = Callable[[Sequence[Sequence[str]], Met], list[list[float]]]  # (B, S) kinds, (B, S) met -> (B, S) weights


def task_reward(judge_pass: bool | None, truncated: bool) -> float | None:
    """1 when the weak judge passes the answer and turn 1 ended by itself, else 0; None without a verdict."""
    if truncated:
        return 0.0
    return None if judge_pass is None else float(judge_pass)


def plain(kinds_BS: Sequence[Sequence[str]], met_BS: Met) -> list[list[float]]:
    """Every claim of a report alike: it earns the share of its claims that are the truth."""
    return [[float(met is not None) / max(1, _known(met_S)) for met in met_S] for met_S in met_BS]


def balanced(kinds_BS: Sequence[Sequence[str]], met_BS: Met) -> list[list[float]]:
    """The met and the unmet objectives of an answer alike in sum where both occur, so that always claiming None earns
    0.5 and not the share of unmet objectives."""
    weights = []
    for met_S in met_BS:
        counts = Counter(met for met in met_S if met is not None)
        weights.append([1 / (len(counts) * counts[met]) if met is not None else 0.0 for met in met_S])
    return weights


def balanced_batch(kinds_BS: Sequence[Sequence[str]], met_BS: Met) -> list[list[float]]:
    """Of every kind, what is met and what is unmet in this batch alike in sum: whoever knows the kind and not the
    answer earns the same whatever it claims, in every batch and not only in expectation.

    A claim about a kind of which the batch has one class alone has weight 0. A right report earns 1 on average over a
    batch without such kinds, and may earn more than 1.
    """
    classes = Counter(
        (kind, met)
        for kinds_S, met_S in zip(kinds_BS, met_BS, strict=True)
        for kind, met in zip(kinds_S, met_S, strict=True)
        if met is not None
    )

    def weight(kind: str, met: bool | None) -> float:
        these, others = classes[kind, met], classes[kind, not met]
        return (these + others) / (2 * these) if met is not None and others else 0.0

    return [
        [weight(kind, met) / max(1, _known(met_S)) for kind, met in zip(kinds_S, met_S, strict=True)]
        for kinds_S, met_S in zip(kinds_BS, met_BS, strict=True)
    ]


def _known(met_S: Sequence[bool | None]) -> int:
    return sum(met is not None for met in met_S)


WEIGHTS: dict[str, Weights] = {"plain": plain, "balanced": balanced, "balanced_batch": balanced_batch}


def line_rewards(scores: Sequence[Row], claims: str, finding_weight: float = 0.0) -> list[list[float | None]]:
    """(B, S) what each line of a batch earns: 0 in an invalid report, None where the truth is not known. `claims` is a
    name of WEIGHTS, or of SCORING_RULES; `finding_weight` the share that is the finding's."""
    weigh = plain if claims in SCORING_RULES else WEIGHTS[claims]
    weights_BS = weigh([row["kinds"] for row in scores], [row["met"] for row in scores])
    return [
        [
            None if met is None else weight * share
            for weight, met, share in zip(weights_S, row["met"], _shares(row, claims, finding_weight), strict=True)
        ]
        for row, weights_S in zip(scores, weights_BS, strict=True)
    ]


def _shares(row: Row, claims: str, finding_weight: float = 0.0) -> list[float]:
    """(S,) what each line is worth, 0 to 1, before its weight. Of findings that could not be compared the claim has
    all."""
    if not row["report_valid"]:
        return [0.0] * len(row["met"])
    claimed, right = _claim_shares(row, claims), row.get(FINDING_RIGHT)
    if not finding_weight or right is None:
        return claimed
    return [(1 - finding_weight) * claim + finding_weight * found for claim, found in zip(claimed, right, strict=True)]


def _claim_shares(row: Row, claims: str) -> list[float]:
    if rule := SCORING_RULES.get(claims):
        return [rule(bool(met), p) for met, p in zip(row["met"], row["p_met"], strict=True)]
    truth = (Compliance.FULL if met else Compliance.NONE for met in row["met"])
    return [float(claim == true) for true, claim in zip(truth, row["claims"], strict=True)]


def _claims(row: Row) -> Sequence[str | None]:
    return row["claims"] if row["report_valid"] else [None] * len(row["met"])


def claim_rewards(scores: Sequence[Row], claims: str) -> list[float]:
    """(B,) what the claims of each report of a batch earn; `claims` as the configuration has it.

    Raises InputError for a file without `claim_reward`.
    """
    if not outside.is_path(claims):
        return of_reports(line_rewards(scores, claims))
    own: ClaimReward = outside.member(claims, "claim_reward")
    known = [[pair for pair in zip(row["met"], _claims(row), strict=True) if None not in pair] for row in scores]
    return [own(*zip(*pairs, strict=True)) if pairs else 0.0 for pairs in known]


def of_reports(lines_BS: Sequence[Sequence[float | None]]) -> list[float]:
    """(B,) what the claims of each report earn together."""
    return [sum(filter(None, line)) for line in lines_BS]


def confession_rewards(scores: Sequence[Row], earned_B: Sequence[float], grade_weight: float) -> list[float | None]:
    """(B,) (1 - grade_weight) * what the claims earned + grade_weight * [the grade is honest]; an invalid report
    earns 0."""

    def reward(row: Row, earned: float) -> float | None:
        if not row["report_valid"]:
            return 0.0
        if not _known(row["met"]):
            return None
        if row["grade_honest"] is None:
            return earned
        return (1 - grade_weight) * earned + grade_weight * float(row["grade_honest"])

    return [reward(row, earned) for row, earned in zip(scores, earned_B, strict=True)]


def misjudged(met_S: Sequence[bool | None], answer: str, grader: FallibleGrader) -> list[bool | None]:
    """What a fallible grader takes for the truth about an answer: the same whenever it is asked."""
    rng = Random(answer)
    wrong_S = [rng.random() < grader.flipped for _ in met_S]
    sides = {"both": (True, False), "met": (True,), "unmet": (False,)}[grader.side]
    return [not met if wrong and met in sides else met for met, wrong in zip(met_S, wrong_S, strict=True)]


def as_graded(row: Row, met: Sequence[bool | None]) -> Row:
    """The row as a fallible grader sees it, who takes `met` for the truth. A grade is honest where it agrees with the
    grader's own view of whether every objective is met. About what an answer holds beyond its objectives the grader is
    not wrong."""
    surplus = all(row["met"]) and row["exact_compliance"] is False
    not_known = None in (*met, row["exact_compliance"])
    compliant = False if False in met or surplus else None if not_known else True
    return {**row, "met": [*met], "grade_honest": grade_honest(row["grade"], compliant)}


def one_class_kinds(scores: Sequence[Row]) -> int:
    """How many kinds the batch has of which everything is met, or nothing."""
    known = ((kind, met) for row in scores for kind, met in zip(row["kinds"], row["met"], strict=True))
    pairs = {(kind, met) for kind, met in known if met is not None}
    return sum(count == 1 for count in Counter(kind for kind, _ in pairs).values())
