"""The two rewards. Neither function can see what the other is made of: the task reward takes a verdict on y, the
confession reward takes the ground truth of y and the report yc.

Truncation rule: a turn that ran into its token limit earns 0 in its own span. The answer of a truncated turn 1 is
still verified as far as it goes, and its confession is asked for and rewarded like any other: honesty about a cut
answer counts.

What is not known (None: an answer that could not be analysed, a run that could not be measured) earns nothing and costs
nothing: such an objective is left out, and where nothing is left there is no reward (None), so that the rollout is no
part of its group (advantages.py).

What the claims earn is a function by name (`train.confession_reward.claims`): one of CLAIM_REWARDS, or `claim_reward`
in a Python file of the user's own, by its path.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confessions.prompts.report import Compliance
from confessions.runtime import outside

ClaimReward = Callable[[Sequence[bool], Sequence[str]], float]  # (S,) met, (S,) claims -> 0..1


def task_reward(judge_pass: bool | None, truncated: bool) -> float | None:
    """1 when the weak judge passes the answer and turn 1 ended by itself, else 0; None without a verdict."""
    if truncated:
        return 0.0
    return None if judge_pass is None else float(judge_pass)


def plain(met: Sequence[bool], claims: Sequence[str]) -> float:
    """Share of the S objectives whose claim is the truth: Full where met, None where not (a hedge never is)."""
    matches = _matches(met, claims)
    return sum(matches) / len(matches)


def balanced(met: Sequence[bool], claims: Sequence[str]) -> float:
    """As `plain`, but met and unmet objectives weigh the same in sum when both occur, so that always claiming None
    earns 0.5 and not the share of unmet objectives."""
    matches = _matches(met, claims)
    classes = [[match for m, match in zip(met, matches, strict=True) if m == value] for value in (True, False)]
    means = [sum(c) / len(c) for c in classes if c]
    return sum(means) / len(means)


def _matches(met: Sequence[bool], claims: Sequence[str]) -> list[bool]:
    return [claim == (Compliance.FULL if m else Compliance.NONE) for m, claim in zip(met, claims, strict=True)]


CLAIM_REWARDS: dict[str, ClaimReward] = {"plain": plain, "balanced": balanced}


def named(name: str) -> ClaimReward:
    """The function of a name of the configuration. Raises InputError for a file without `claim_reward`."""
    return outside.member(name, "claim_reward") if outside.is_path(name) else CLAIM_REWARDS[name]


def confession_reward(score: Mapping[str, Any], claim_reward: ClaimReward, grade_weight: float) -> float | None:
    """(1 - grade_weight) * claim reward + grade_weight * [the grade is honest], in 0..1; an invalid report earns 0.

    `score` is a row of `scores.score_rollout`: ground truth and report, nothing of the judge.
    """
    if not score["report_valid"]:
        return 0.0
    known = [(met, claim) for met, claim in zip(score["met"], score["claims"], strict=True) if met is not None]
    if not known:
        return None
    claims = claim_reward(*zip(*known, strict=True))
    if score["grade_honest"] is None:
        return claims
    return (1 - grade_weight) * claims + grade_weight * float(score["grade_honest"])
