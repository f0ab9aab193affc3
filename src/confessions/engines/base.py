"""The engine interface. One engine serves every adapter, condition and variant of its base model."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from transformers import PreTrainedTokenizerBase

Prompts = Sequence[Sequence[int]]  # token ids
Adapters = Sequence[Path | None]  # a PEFT folder for each prompt; None: the base model


@dataclass(frozen=True)
class Sampling:
    """How one turn is sampled. temperature 0 is greedy; top_k 0 and top_p 1 switch those filters off."""

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0


@dataclass(frozen=True)
class Completion:
    """What was sampled after one prompt.

    `logprobs[t]` is the log-probability of `ids[t]` under the model itself: temperature 1, no top-p or top-k. The
    end-of-turn token, when it was sampled, is the last id.
    """

    ids: list[int]
    logprobs: list[float]
    finish_reason: Literal["stop", "length"]


class Engine(ABC):
    """Samples batches of token-id prompts. Every prompt has its own seed, so a sample does not depend on its batch."""

    tokenizer: PreTrainedTokenizerBase
    batch_size: int

    @abstractmethod
    def generate(
        self, prompts: Prompts, sampling: Sampling, seeds: Sequence[int], adapters: Adapters | None = None
    ) -> list[Completion]:
        """One completion a prompt, in order. Without `adapters` all are of the base model."""

    @abstractmethod
    def choose(self, prompts: Prompts, choices: Sequence[int]) -> list[list[float]]:
        """For each prompt, the log-probability of each of the token ids `choices` as its next token.

        Under the base model itself: temperature 1, no top-p or top-k, no adapter.
        """


def context(options: Mapping[str, Any], folder: Path) -> int:
    """The longest conversation, in tokens, that an engine with these options holds; nothing is loaded."""
    from confessions.models import loading

    longest = loading.load_config(folder).get_text_config().max_position_embeddings
    return min(longest, options.get("max_model_len") or longest)
