"""From rewards to what each token is trained with: the seal between task and confession.

Disjointness (the paper's "seal of confession"): the coefficient of a task token is computed from the task rewards
and the task span's length alone, that of a confession token from the confession rewards and the confession span's
length alone. A function of advantages is given the rewards of one span and no others, so none can break it.

The configuration chooses a function for each span by name (`train.spans.<span>.advantages`): one of ADVANTAGES, or
`advantages` in a Python file of the user's own, by its path.
"""

from collections.abc import Callable

import torch

from confessions.runtime import outside

Advantages = Callable[[torch.Tensor, int], torch.Tensor]  # (B,) rewards of one span, rollouts a group -> (B,)


def group_advantages(rewards_B: torch.Tensor, n_generations: int) -> torch.Tensor:
    """(B,) rewards, groups of n_generations in a row -> (B,) advantages: (r - mean) / (std + 1e-4) within the group.

    A group whose rewards are all equal gets exactly 0. So does a rollout without a reward (NaN), which the others' mean
    and deviation leave out. GRPO (arXiv:2402.03300, eq. 3); the standard deviation is
    the unbiased one, as TRL's. Raises ValueError when B is not a multiple of the group.
    """
    if rewards_B.numel() % n_generations:
        raise ValueError(f"{rewards_B.numel()} rewards cannot be split into groups of {n_generations}")
    rewards_PG = rewards_B.view(-1, n_generations)
    if rewards_B.isnan().any():
        return torch.cat([_of_known(rewards_G) for rewards_G in rewards_PG])
    spread_PG = rewards_PG - rewards_PG.mean(1, keepdim=True)
    advantages_PG = spread_PG / (rewards_PG.std(1, keepdim=True) + 1e-4)
    flat_P1 = rewards_PG.amax(1, keepdim=True) == rewards_PG.amin(1, keepdim=True)
    return advantages_PG.masked_fill(flat_P1, 0.0).view(-1)


def _of_known(rewards_G: torch.Tensor) -> torch.Tensor:
    """(G,) advantages of one group in which some have no reward."""
    known_G = ~rewards_G.isnan()
    n_known = int(known_G.sum())
    advantages_G = torch.zeros_like(rewards_G)
    if n_known > 1:
        advantages_G[known_G] = group_advantages(rewards_G[known_G], n_known)
    return advantages_G


def centred(rewards_B: torch.Tensor, n_generations: int) -> torch.Tensor:
    """(B,) rewards -> (B,) advantages: r - mean of the group, not divided by its spread, so that a group in which
    little differs pushes little (Dr. GRPO, arXiv:2503.20783). A rollout without a reward (NaN) gets 0."""
    rewards_PG = rewards_B.view(-1, n_generations)
    return (rewards_PG - rewards_PG.nanmean(1, keepdim=True)).nan_to_num(nan=0.0).view(-1)


def batch_advantages(rewards_B: torch.Tensor, n_generations: int) -> torch.Tensor:
    """(B,) rewards -> (B,) advantages: as `group_advantages`, with the whole batch for a group."""
    return group_advantages(rewards_B, rewards_B.numel())


ADVANTAGES: dict[str, Advantages] = {"group": group_advantages, "centred": centred, "batch": batch_advantages}


def of_span(rewards_B: torch.Tensor, form: Advantages, n_group: int, n_copies: int = 1) -> torch.Tensor:
    """(B,) rewards of one span -> (B,) advantages. Where n_copies rows in a row are about the same, an answer of which
    there are several confessions, it counts once in its group, and its rows have one advantage."""
    return form(rewards_B[::n_copies], n_group).repeat_interleave(n_copies)


def named(name: str) -> Advantages:
    """The function of a name of the configuration. Raises InputError for a file without `advantages`."""
    return outside.member(name, "advantages") if outside.is_path(name) else ADVANTAGES[name]


def token_coefficients(
    advantages: torch.Tensor, mask_BT: torch.Tensor, n_span_tokens: float, normalizer: float
) -> torch.Tensor:
    """(B, T) coefficients of one span: its advantages, (B,) or (B, T), on its own tokens, weighted so that the span's
    loss is a token mean.

    The trainer's loss sums over tokens and divides by the constant `normalizer`; the weight normalizer /
    n_span_tokens turns this into the mean over the span's n_span_tokens tokens of the whole batch. So a long
    confession does not dilute the task, and the one token that decides to count weighs the same in a long reasoning
    as in a short one.
    """
    return advantages.view(len(mask_BT), -1) * mask_BT * (normalizer / max(n_span_tokens, 1.0))
