"""The published shapes of Qwen3, what a step of theirs costs in operations and bytes, and rollouts of given lengths.

Counts are of what the algorithm needs, whatever a program does: padding, recomputed activations and repeated reads
count for nothing. They are compared with rates measured on the same device (gpu.py).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

from transformers import Qwen3Config

from confessions.engines import Completion
from confessions.models.chat import Turn
from confessions.rollouts.two_turns import BASELINE, DEFAULT, Rollout
from confessions.tasks.base import Spec

PROMPT, REQUEST = 150, 100  # tokens of x and of xc
# Two answers, of which a label-trusting judge passes the first, and two reports, of which one is valid: every group of
# rollouts has a spread of both rewards.
ANSWERS = ("It rained (12). Winds blew (18). Seas rose (12). Waves grew (18). All slept (12).", "It rained.")
REPORTS = (
    '{"objectives": ['
    + ", ".join(f'{{"objective": "Sentence {s}", "compliance": "None", "analysis": ""}}' for s in range(1, 6))
    + '], "uncertainties": [], "overall_grade": 2}',
    "I would rather not say.",
)


@dataclass(frozen=True)
class Shape:
    """A decoder of Qwen3's architecture. `heads` are query heads of `head` numbers each."""

    name: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head: int
    feed_forward: int
    vocabulary: int
    tied: bool

    def config(self) -> Qwen3Config:
        return Qwen3Config(
            hidden_size=self.hidden,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.kv_heads,
            head_dim=self.head,
            intermediate_size=self.feed_forward,
            vocab_size=self.vocabulary,
            tie_word_embeddings=self.tied,
            max_position_embeddings=40_960,
            rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        )

    def _matrices(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of a layer's linear maps."""
        query, key = self.heads * self.head, self.kv_heads * self.head
        attention = [(self.hidden, query), (self.hidden, key), (self.hidden, key), (query, self.hidden)]
        return [*attention, *[(self.hidden, self.feed_forward)] * 2, (self.feed_forward, self.hidden)]

    @property
    def layer_weights(self) -> int:
        """Weights of all layers' linear maps."""
        return self.layers * sum(a * b for a, b in self._matrices())

    @property
    def head_weights(self) -> int:
        return self.hidden * self.vocabulary

    def lora_weights(self, rank: int) -> int:
        return self.layers * sum(rank * (a + b) for a, b in self._matrices())

    def _attention_flop(self, n_tokens: int) -> int:
        """A causal forward pass over one sequence: scores and their product with the values, lower triangle."""
        return 2 * self.layers * self.heads * self.head * n_tokens * n_tokens

    def forward_flop(self, n_tokens: int, n_scored: int) -> int:
        """Of one sequence, `n_scored` of whose tokens go through the output head."""
        linear = 2 * (self.layer_weights * n_tokens + self.head_weights * n_scored)
        return linear + self._attention_flop(n_tokens)

    def training_flop(self, n_tokens: int, n_scored: int, rank: int) -> int:
        """Of one sequence with frozen weights and LoRA: forward, the gradient of the activations (linear maps once
        more, attention twice), and forward and both gradients of the adapter. No gradient of frozen weights."""
        adapter = 6 * self.lora_weights(rank) * n_tokens
        return 2 * self.forward_flop(n_tokens, n_scored) + self._attention_flop(n_tokens) + adapter

    def recomputed_flop(self, n_tokens: int, n_scored: int, rank: int, checkpointing: bool) -> int:
        """What is done twice: the head's logits always (TRL never keeps them), with checkpointing the layers."""
        layers = self.forward_flop(n_tokens, 0) + 2 * self.lora_weights(rank) * n_tokens
        return 2 * self.head_weights * n_scored + checkpointing * layers

    def decode_bytes(self, contexts: Sequence[int], item: int = 2) -> int:
        """Fewest bytes that one decoding step reads: every weight once, every row's keys and values once."""
        keys_values = 2 * self.layers * self.kv_heads * self.head
        return item * (self.layer_weights + self.head_weights + keys_values * sum(contexts))


QWEN3_8B = Shape("Qwen3-8B", 4096, 36, 32, 8, 128, 12_288, 151_936, tied=False)
QWEN3_4B = Shape("Qwen3-4B", 2560, 36, 32, 8, 128, 9_728, 151_936, tied=True)
TINY = Shape("tiny", 64, 2, 4, 2, 16, 128, 4_096, tied=True)


def made_rollouts(specs: Sequence[Spec], lengths: Sequence[tuple[int, int]], n_ids: int, eos: int) -> list[Rollout]:
    """A rollout a spec of random ids under `n_ids`; `lengths` are (task tokens, confession tokens), ends included."""
    rng = random.Random(0)

    def ids(n: int) -> list[int]:
        return [rng.randrange(n_ids) for _ in range(n)]

    def turn(n: int) -> Completion:
        return Completion([*ids(n - 1), eos], [-1.0] * n, "stop")

    texts = zip(cycle(ANSWERS), cycle(REPORTS[:1] * 2 + REPORTS[1:] * 2), strict=False)
    return [
        Rollout(
            spec=spec,
            condition=BASELINE,
            variant=DEFAULT,
            x="",
            xc="",
            x_ids=ids(PROMPT),
            task=turn(n_task),
            xc_ids=ids(REQUEST),
            confession=turn(n_confession),
            answer=Turn("", answer, 0, True),
            report=Turn("", report, 0, True),
        )
        for spec, (n_task, n_confession), (answer, report) in zip(specs, lengths, texts, strict=False)
    ]


def even_lengths(n: int, mean: int) -> list[tuple[int, int]]:
    return [(mean, mean)] * n


def spread_lengths(n: int, mean: int) -> list[tuple[int, int]]:
    """As sampled rollouts are: uniform from a third to five thirds of `mean`, then scaled to that very mean."""
    rng = random.Random(1)
    drawn = [rng.uniform(1 / 3, 5 / 3) for _ in range(2 * n)]
    scale = 2 * n * mean / sum(drawn)
    whole = [round(scale * length) for length in drawn]
    return list(zip(whole[::2], whole[1::2], strict=True))
