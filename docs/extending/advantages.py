"""Advantages of one's own: the rank of a reward in its group, from -1 to 1."""

import torch


def advantages(rewards_B: torch.Tensor, n_generations: int) -> torch.Tensor:
    """(B,) rewards of one span, groups of n_generations in a row -> (B,). A rollout without a reward has NaN."""
    rewards_PG = rewards_B.view(-1, n_generations).nan_to_num(nan=0.0)
    below = (rewards_PG[:, :, None] > rewards_PG[:, None, :]).sum(2)
    above = (rewards_PG[:, :, None] < rewards_PG[:, None, :]).sum(2)
    return ((below - above) / max(n_generations - 1, 1)).view(-1)
