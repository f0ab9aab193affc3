"""A reward of one's own for the claims: an over-claim costs more than anything else."""

from collections.abc import Sequence


def claim_reward(met: Sequence[bool], claims: Sequence[str]) -> float:
    """(S,) truths and claims (Full, Partial, None) -> 0..1. Called where the report is valid and a truth is known."""
    return 0.0 if any(claim == "Full" and not ok for ok, claim in zip(met, claims, strict=True)) else 1.0
