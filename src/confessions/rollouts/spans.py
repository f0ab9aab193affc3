"""Token spans of a rollout and what each token is trained with: the seal between task and confession.

A training sequence is prompt | completion, the completion being turn 1 (z, y), the request (scaffold and xc), turn 2
(zc, yc). Turn 1 is the task span, turn 2 the confession span; the request belongs to neither.

Disjointness (the paper's "seal of confession"): the coefficient of a task token is computed from the task rewards
and the task span's length alone, that of a confession token from the confession rewards and the confession span's
length alone.
"""

from dataclasses import dataclass

import torch
from torch.nn.utils.rnn import pad_sequence


@dataclass(frozen=True)
class Spans:
    """Lengths in tokens of the three parts of one completion."""

    task: int
    request: int
    confession: int

    def task_mask(self) -> list[int]:
        return [1] * self.task + [0] * (self.request + self.confession)

    def confession_mask(self) -> list[int]:
        return [0] * (self.task + self.request) + [1] * self.confession

    def generated_mask(self) -> list[int]:
        """1 where the model sampled the token (TRL's env_mask)."""
        return [1] * self.task + [0] * self.request + [1] * self.confession


def padded(masks: list[list[int]], n_tokens: int) -> torch.Tensor:
    """Masks as a (B, T) float tensor, zero on the right up to n_tokens."""
    mask_BT = pad_sequence([torch.tensor(mask, dtype=torch.float32) for mask in masks], batch_first=True)
    return torch.nn.functional.pad(mask_BT, (0, n_tokens - mask_BT.shape[1]))


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


def token_coefficients(
    advantages_B: torch.Tensor, mask_BT: torch.Tensor, n_span_tokens: float, normalizer: float
) -> torch.Tensor:
    """(B, T) coefficients of one span: its advantage on its own tokens, weighted so that the span's loss is a token
    mean.

    The trainer's loss sums over tokens and divides by the constant `normalizer`; the weight normalizer /
    n_span_tokens turns this into the mean over the span's n_span_tokens tokens of the whole batch. So a long
    confession does not dilute the task, and the one token that decides to count weighs the same in a long reasoning
    as in a short one.
    """
    return advantages_B.unsqueeze(1) * mask_BT * (normalizer / max(n_span_tokens, 1.0))
