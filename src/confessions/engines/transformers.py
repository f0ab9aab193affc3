"""The transformers engine: the default, nothing to compile, any device that torch has.

Sampling is the Gumbel-max trick with one random stream a row, so that a rollout depends on its own seed and not on
the batch around it; paired cells of an evaluation then share their noise. The key-value cache of the last call is
kept: when the next call continues it (turn 2 after turn 1), only the new tokens are computed.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel
from transformers import (
    Cache,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from confessions.engines.base import Completion, Engine, Sampling

_NOISE_BLOCK = 65_536  # numbers drawn at once for a row; depends on the vocabulary alone, never on the batch


class SeededSampler(LogitsProcessor):
    """Chooses each row's next token from its own stream and records the token's log-probability under the raw logits.

    Used under greedy decoding: it hands back scores in which the chosen token stands alone. argmax(logits - log E) with
    E ~ Exp(1) is an exact sample of softmax(logits) (Gumbel-max).
    """

    def __init__(self, sampling: Sampling, seeds: Sequence[int], device: torch.device):
        self.greedy = sampling.temperature == 0
        self.warpers = LogitsProcessorList()
        if not self.greedy:
            self.warpers.append(TemperatureLogitsWarper(float(sampling.temperature)))
            if sampling.top_k:
                self.warpers.append(TopKLogitsWarper(sampling.top_k))
            if sampling.top_p < 1:
                self.warpers.append(TopPLogitsWarper(sampling.top_p))
        self.streams = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        self.noise: torch.Tensor | None = None  # (B, steps, V) of Exp(1)
        self.used = 0
        self.logprobs: list[torch.Tensor] = []  # one (B,) a step

    def _exponential(self, logits: torch.Tensor) -> torch.Tensor:
        n_rows, n_vocab = logits.shape
        if self.noise is None or self.used == self.noise.shape[1]:
            steps = max(1, _NOISE_BLOCK // n_vocab)
            self.noise = torch.empty(n_rows, steps, n_vocab, device=logits.device)
            for row, stream in enumerate(self.streams):
                self.noise[row].exponential_(generator=stream)
            self.used = 0
        self.used += 1
        return self.noise[:, self.used - 1]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        logits = scores.float()
        if self.greedy:
            chosen = logits.argmax(-1, keepdim=True)
        else:
            chosen = (self.warpers(input_ids, logits) - self._exponential(logits).log()).argmax(-1, keepdim=True)
        self.logprobs.append((logits.gather(-1, chosen) - logits.logsumexp(-1, keepdim=True)).squeeze(-1))
        return torch.full_like(logits, -torch.inf).scatter_(-1, chosen, 0.0)


@dataclass
class _Prefix:
    """What the model has already computed for one batch: ids a row, their padded layout (B, W) and its cache (W - 1
    wide)."""

    rows: list[list[int]]
    ids: torch.Tensor
    mask: torch.Tensor
    cache: Cache
    adapter: Path | None

    def continued_by(self, prompts: list[list[int]], adapter: Path | None) -> bool:
        return (
            adapter == self.adapter
            and len(prompts) == len(self.rows)
            and all(len(p) > len(r) and p[: len(r)] == r for p, r in zip(prompts, self.rows, strict=True))
        )


def _left_padded(rows: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, W) ids and mask."""
    width = max(map(len, rows))
    ids = torch.tensor([[pad] * (width - len(r)) + list(r) for r in rows], device=device)
    mask = torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in rows], device=device)
    return ids, mask


class TransformersEngine(Engine):
    """Samples from a loaded model; adapters are loaded from disk at first use and kept.

    `reuse_prefix=False` computes every prompt from its start (for tests and benchmarks).
    """

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        tokenizer: PreTrainedTokenizerBase,
        batch_size: int = 64,
        reuse_prefix: bool = True,
    ):
        self.model, self.tokenizer, self.batch_size, self.reuse_prefix = (
            model,
            tokenizer,
            batch_size,
            reuse_prefix,
        )
        self._prefixes: dict[int, _Prefix] = {}
        peft = isinstance(model, PeftModel)
        self._adapters: dict[Path | None, str] = {None: model.active_adapter} if peft else {}  # PEFT's names
        # The model's own settings, a repetition penalty for one, would change the logits before the sampler sees them.
        (model.get_base_model() if peft else model).generation_config = GenerationConfig()

    def forget(self) -> None:
        """Drop cached prefixes: needed whenever the weights have changed."""
        self._prefixes.clear()

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        seeds: Sequence[int],
        adapters: Sequence[Path | None] | None = None,
    ) -> list[Completion]:
        adapters = adapters or [None] * len(prompts)
        batches = [
            (adapter, rows[start : start + self.batch_size])
            for adapter in dict.fromkeys(adapters)
            for rows in [[i for i, a in enumerate(adapters) if a == adapter]]
            for start in range(0, len(rows), self.batch_size)
        ]
        done: dict[int, Completion] = {}
        prefixes, self._prefixes = self._prefixes, {}
        for number, (adapter, rows) in enumerate(batches):
            batch = [list(prompts[i]) for i in rows]
            known = prefixes.pop(number, None)
            if known is not None and not known.continued_by(batch, adapter):
                known = None
            with self._use(adapter):
                completions, prefix = self._generate_batch(batch, sampling, [seeds[i] for i in rows], adapter, known)
            if self.reuse_prefix:
                self._prefixes[number] = prefix
            done.update(zip(rows, completions, strict=True))
        return [done[i] for i in range(len(prompts))]

    def _use(self, adapter: Path | None) -> AbstractContextManager:
        """The context in which the model has `adapter`; None is the model as it was handed over."""
        if adapter is not None and adapter not in self._adapters:
            name = f"adapter_{len(self._adapters)}"
            if isinstance(self.model, PeftModel):
                self.model.load_adapter(adapter, adapter_name=name)
            else:
                self.model = PeftModel.from_pretrained(self.model, adapter, adapter_name=name).eval()
            self._adapters[adapter] = name
        if adapter in self._adapters:
            if self.model.active_adapter != self._adapters[adapter]:
                self.model.set_adapter(self._adapters[adapter])
            return nullcontext()
        return self.model.disable_adapter() if isinstance(self.model, PeftModel) else nullcontext()

    @torch.inference_mode()
    def _generate_batch(
        self,
        prompts: list[list[int]],
        sampling: Sampling,
        seeds: list[int],
        adapter: Path | None,
        known: _Prefix | None,
    ) -> tuple[list[Completion], _Prefix]:
        device, pad, eos = self.model.device, self.tokenizer.pad_token_id, self.tokenizer.eos_token_id
        if known is None:
            ids, mask = _left_padded(prompts, pad, device)
        else:
            suffixes = [p[len(r) :] for p, r in zip(prompts, known.rows, strict=True)]
            ids, mask = _left_padded(suffixes, pad, device)
            ids, mask = torch.cat([known.ids, ids], 1), torch.cat([known.mask, mask], 1)
        sampler = SeededSampler(sampling, seeds, device)
        output = self.model.generate(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=known.cache if known else None,
            generation_config=GenerationConfig(
                max_new_tokens=sampling.max_new_tokens,
                do_sample=False,
                eos_token_id=eos,
                pad_token_id=pad,
                return_dict_in_generate=True,
            ),
            logits_processor=LogitsProcessorList([sampler]),
        )
        new = output.sequences[:, ids.shape[1] :]  # (B, T), padded after the end of a row
        logprobs = torch.stack(sampler.logprobs, 1).tolist()
        ended = (new == eos).long()
        lengths = torch.where(ended.any(1), ended.argmax(1) + 1, new.shape[1])
        completions = [
            Completion(row[:n], logps[:n], "stop" if row[n - 1] == eos else "length")
            for row, logps, n in zip(new.tolist(), logprobs, lengths.tolist(), strict=True)
        ]
        written = torch.arange(new.shape[1], device=device) < lengths.unsqueeze(1)
        prefix = _Prefix(
            rows=[p + c.ids for p, c in zip(prompts, completions, strict=True)],
            ids=output.sequences,
            mask=torch.cat([mask, written.long()], 1),
            cache=output.past_key_values,
            adapter=adapter,
        )
        return completions, prefix
