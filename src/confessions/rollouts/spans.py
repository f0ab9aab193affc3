"""Token spans of a rollout: which tokens belong to the task, which to the confession.

A training sequence is prompt | completion, the completion being turn 1 (z, y), the request (scaffold and xc), turn 2
(zc, yc). Turn 1 is the task span, turn 2 the confession span; the request belongs to neither.
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
