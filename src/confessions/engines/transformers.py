"""The transformers engine: the default, nothing to compile, any device that torch has.

Sampling is the Gumbel-max trick with one random stream a row, so that a rollout depends on its own seed and not on
the batch around it; paired cells of an evaluation then share their noise. The key-value caches of the last call are
kept: prompts of the next call that continue them (turn 2 after turn 1, in any order, several from one) compute only
their new tokens. Those of a second turn are not: nothing follows it. A batch runs in stretches of steps, and rows that
have ended leave it between two stretches.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import (
    Cache,
    DynamicCache,
    DynamicLayer,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from confessions.engines import attention, memory
from confessions.engines.base import Adapters, Completion, Engine, Prompts, Sampling
from confessions.models import loading

_NOISE_BLOCK = 65_536  # numbers drawn at once for a row; depends on the vocabulary alone, never on the batch
_STRETCH = 32  # steps between two looks for rows that have ended
_SHARE = 160  # most rows that a core samples together
_FEWEST = 64  # rows that are worth a thread of their own: below, Python's lock costs more than a core gains
_SPLIT = 4_000_000  # weights from which on the operations of a few rows are worth splitting over a CPU's cores
_ROOM = 64  # columns that a cache layer grows by; behind gaps of over 100 a CPU reads values at a third of the speed


class SeededSampler(LogitsProcessor):
    """Chooses each row's next token from its own stream and records the token's log-probability under the raw logits,
    or with `processed` under those after temperature, top-k and top-p.

    Used under greedy decoding: it hands back scores in which the chosen token stands alone. argmax(logits - log E) with
    E ~ Exp(1) is an exact sample of softmax(logits) (Gumbel-max).
    """

    def __init__(self, sampling: Sampling, seeds: Sequence[int], device: torch.device, processed: bool = False):
        self.greedy, self.processed = sampling.temperature == 0, processed
        self.warpers = LogitsProcessorList()
        if not self.greedy:
            if sampling.temperature != 1:
                self.warpers.append(TemperatureLogitsWarper(float(sampling.temperature)))
            if sampling.top_k:
                self.warpers.append(TopKLogitsWarper(sampling.top_k))
            if sampling.top_p < 1:
                self.warpers.append(TopPLogitsWarper(sampling.top_p))
        self.streams = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        self.noise: torch.Tensor | None = None  # (steps, B, V), Gumbel
        self.used = 0
        self.logprobs: list[torch.Tensor] = []  # one (B,) a step

    def _gumbel(self, logits: torch.Tensor) -> torch.Tensor:
        n_rows, n_vocab = logits.shape
        if self.noise is None or self.used == self.noise.shape[0]:
            steps = max(1, min(_STRETCH, _NOISE_BLOCK // n_vocab))
            noise = torch.empty(n_rows, steps, n_vocab, device=logits.device)
            for row, stream in enumerate(self.streams):
                noise[row].uniform_(generator=stream)  # -log(-log U); exponential_ is many times slower on a CPU
            self.noise = noise.log_().neg_().log_().neg_().transpose(0, 1).contiguous()
            self.used = 0
        self.used += 1
        return self.noise[self.used - 1]

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows only, and forget the log-probabilities so far."""
        self.streams = [self.streams[row] for row in rows.tolist()]
        self.noise, self.used = self.noise[self.used :, rows] if self.noise is not None else None, 0
        self.logprobs = []

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        logits = scores.float()
        if self.greedy:
            chosen = logits.argmax(-1, keepdim=True)
        else:
            warped = self.warpers(input_ids, logits)
            chosen = (warped + self._gumbel(logits)).argmax(-1, keepdim=True)
            logits = warped if self.processed else logits
        self.logprobs.append((logits.gather(-1, chosen) - logits.logsumexp(-1, keepdim=True)).squeeze(-1))
        return torch.full_like(logits, -torch.inf).scatter_(-1, chosen, 0.0)


class _RoomyLayer(DynamicLayer):
    """A cache layer with room for the next tokens: DynamicLayer copies the whole of its content at every one.

    `keys` and `values` (B, H, W, D) are views of the first W columns of wider buffers, which on a CPU lie along the
    sequence, (B, H, D, W + room), as engines/attention.py reads them fastest.
    """

    _buffers: tuple[torch.Tensor, torch.Tensor] | None = None

    @classmethod
    def of(cls, keys: torch.Tensor, values: torch.Tensor) -> "_RoomyLayer":
        """A layer that holds `keys` and `values` (B, H, W, D)."""
        layer = cls()
        if keys.shape[-2]:
            layer.update(keys, values)
        else:
            layer.lazy_initialization(keys, values)
        return layer

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args, **kwargs
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        if self._buffers is None or self._columns(self._buffers[0]).shape[-2] < end:
            wider = tuple(self._room(new, end + _ROOM) for new in (key_states, value_states))
            for buffer, old in zip(wider, (self.keys, self.values), strict=True):
                if start:
                    self._columns(buffer)[..., :start, :] = old
            self._buffers = wider
        for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
            self._columns(buffer)[..., start:end, :] = new
        self.keys, self.values = (self._columns(buffer)[..., :end, :] for buffer in self._buffers)
        return self.keys, self.values

    def select(self, rows: torch.Tensor, first: int) -> "_RoomyLayer":
        """A copy that holds `rows` only, from column `first` on."""
        copy, end = _RoomyLayer(), self.get_seq_length() - first
        copy.lazy_initialization(self.keys, self.values)
        copy._buffers = tuple(self._from(buffer, first).index_select(0, rows) for buffer in self._buffers)
        copy.keys, copy.values = (self._columns(buffer)[..., :end, :] for buffer in copy._buffers)
        return copy

    def keep(self, order: torch.Tensor, first: int) -> None:
        """Hold the rows of `order` only, in place, from column `first` on: nothing that stays where it is is copied."""
        places = torch.arange(len(order), device=order.device)
        moved = order != places
        for buffer in self._buffers:
            buffer[places[moved]] = buffer[order[moved]]
        self._buffers = tuple(self._from(buffer, first)[: len(order)] for buffer in self._buffers)
        end = self.get_seq_length() - first
        self.keys, self.values = (self._columns(buffer)[..., :end, :] for buffer in self._buffers)

    def _room(self, like: torch.Tensor, width: int) -> torch.Tensor:
        n_rows, n_heads, _, size = like.shape
        return like.new_empty(n_rows, n_heads, *((size, width) if self._along_sequence else (width, size)))

    def _columns(self, buffer: torch.Tensor) -> torch.Tensor:
        """The buffer as (B, H, W, D)."""
        return buffer.transpose(-1, -2) if self._along_sequence else buffer

    def _from(self, buffer: torch.Tensor, first: int) -> torch.Tensor:
        return buffer[..., first:] if self._along_sequence else buffer[..., first:, :]

    @property
    def _along_sequence(self) -> bool:
        return self.device.type == "cpu"


@dataclass
class _Computed:
    """Rows that the model has read: their padded layout (B, W), its mask and its cache (W - 1 wide)."""

    ids: torch.Tensor
    mask: torch.Tensor
    cache: Cache

    def select(self, rows: torch.Tensor) -> "_Computed":
        """A copy that holds `rows` only, without the padding that all of them begin with."""
        mask = self.mask[rows]
        first = int(mask.any(0).int().argmax())
        cache = Cache(layers=[layer.select(rows, first) for layer in self.cache.layers])
        return _Computed(self.ids[rows, first:], mask[:, first:], cache)

    def keep(self, order: torch.Tensor) -> None:
        """Hold the rows of `order` only, in place, without the padding that all of them begin with."""
        mask = self.mask[order]
        first = int(mask.any(0).int().argmax())
        for layer in self.cache.layers:
            layer.keep(order, first)
        self.ids, self.mask = self.ids[order, first:], mask[:, first:]

    def closed_up(self) -> "_Computed":
        """The same rows, each moved to the right over its own gaps: padding would be read at every step.

        Keys hold their own positions, so columns may move; the last one, which the cache does not hold, stays last.
        """
        held = self.mask[:, :-1]
        columns = held.argsort(dim=1, stable=True)[:, held.shape[1] - int(held.sum(1).max()) :]
        index = columns[:, None, :, None]

        def moved(cached: torch.Tensor) -> torch.Tensor:  # (B, H, W, D)
            return cached.gather(2, index.expand(-1, cached.shape[1], -1, cached.shape[3]))

        cache = Cache(layers=[_RoomyLayer.of(moved(layer.keys), moved(layer.values)) for layer in self.cache.layers])
        ids, mask = (torch.cat([t.gather(1, columns), t[:, -1:]], 1) for t in (self.ids, self.mask))
        return _Computed(ids, mask, cache)


def _joined(parts: Sequence[_Computed], pad: int) -> _Computed:
    """The rows of all parts as one batch, padded on the left. Keys hold their own positions, so columns may move."""
    width = max(part.ids.shape[1] for part in parts)
    gaps = [width - part.ids.shape[1] for part in parts]

    def stacked(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.cat([torch.nn.functional.pad(t, (0, 0, gap, 0)) for t, gap in zip(tensors, gaps, strict=True)])

    layers = [
        _RoomyLayer.of(stacked([layer.keys for layer in layers]), stacked([layer.values for layer in layers]))
        for layers in zip(*(part.cache.layers for part in parts), strict=True)
    ]
    ids, mask = (
        torch.cat([torch.nn.functional.pad(t, (gap, 0), value=fill) for t, gap in zip(tensors, gaps, strict=True)])
        for tensors, fill in (([p.ids for p in parts], pad), ([p.mask for p in parts], 0))
    )
    return _Computed(ids, mask, Cache(layers=layers))


def _closing_ranks(n_rows: int, gone: Sequence[int]) -> list[int]:
    """Which row each place holds once those in `gone` have left: rows from the end move into the gaps."""
    gone = set(gone)
    n_left = n_rows - len(gone)
    movers = iter([row for row in range(n_left, n_rows) if row not in gone])
    return [next(movers) if row in gone else row for row in range(n_left)]


class _Memory:
    """What one adapter's last calls have computed, to be found by the ids of a row."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, ...], tuple[_Computed, int]] = {}

    def add(self, rows: Prompts, computed: _Computed) -> None:
        self.rows |= {tuple(ids): (computed, at) for at, ids in enumerate(rows)}

    def find(self, prompts: Prompts, pad: int) -> tuple[_Computed, list[int]] | None:
        """The longest known beginning of each prompt as one batch, and their lengths; None unless all have one."""
        lengths = sorted({len(row) for row in self.rows}, reverse=True)
        found = []
        for prompt in prompts:
            known = [n for n in lengths if n < len(prompt) and tuple(prompt[:n]) in self.rows]
            if not known:
                return None
            found.append((*self.rows[tuple(prompt[: known[0]])], known[0]))
        parts = list({id(computed): computed for computed, _, _ in found}.values())
        chosen = [[i for i, (computed, _, _) in enumerate(found) if computed is part] for part in parts]
        device = parts[0].ids.device
        selected = [
            part.select(torch.tensor([found[i][1] for i in rows], device=device)).closed_up()
            for part, rows in zip(parts, chosen, strict=True)
        ]
        order = torch.tensor([i for rows in chosen for i in rows], device=device).argsort()
        joined = _joined(selected, pad)
        return (joined if len(parts) == 1 else joined.select(order)), [n for _, _, n in found]


def _left_padded(rows: Prompts, pad: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, W) ids and mask."""
    width = max(map(len, rows))
    ids = torch.tensor([[pad] * (width - len(r)) + list(r) for r in rows], device=device)
    mask = torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in rows], device=device)
    return ids, mask


def _adapted_weights(model: PeftModel) -> list[torch.nn.Parameter]:
    layers = (module.get_base_layer() for module in model.modules() if isinstance(module, BaseTunerLayer))
    return [weight for layer in layers for weight in layer.parameters()]


def _may_be_merged(model: PeftModel) -> bool:
    """Fewer bits than float32 would round an adapter away; one of the embeddings would reach a head that is tied to
    them, and the other way round."""
    embeddings = model.get_input_embeddings().weight
    return model.dtype == torch.float32 and all(weight is not embeddings for weight in _adapted_weights(model))


@contextmanager
def _merged(model: PeftModel) -> Iterator[None]:
    """The active adapter is part of the weights meanwhile, which saves two of three products a layer. Afterwards the
    weights themselves are put back: to subtract would leave rounding in them."""
    weights = [(weight, weight.detach().clone()) for weight in _adapted_weights(model)]
    model.merge_adapter()
    try:
        yield
    finally:
        model.unmerge_adapter()
        for weight, before in weights:
            weight.data.copy_(before)


class TransformersEngine(Engine):
    """Samples from a loaded model; adapters are loaded from disk at first use and kept.

    On a CPU a batch is shared out to `workers` threads of one core each (default: as many as torch would use): the
    operations of a small model are too short to be worth splitting, and more rows at once gain nothing. Rows that are
    too few to be shared out have one thread if the model is below _SPLIT weights, else all cores.
    `reuse_prefix=False` computes every prompt from its start (for tests and benchmarks). `eos` are the ids that end a
    turn (Chat.eos; default: the tokenizer's one). With `processed_logprobs` log-probabilities are those of the
    distribution that is sampled from, after temperature, top-k and top-p.
    """

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        tokenizer: PreTrainedTokenizerBase,
        batch_size: int = 64,
        reuse_prefix: bool = True,
        workers: int | None = None,
        eos: Sequence[int] | None = None,
        processed_logprobs: bool = False,
    ):
        # A kept row may end in padding before its new tokens. Positions do not mind, but the mask of a sliding window
        # (OLMo-3) counts columns: it would look back over fewer tokens. Such models compute turn 2 from its start.
        slides = any(DynamicCache(config=model.config).is_sliding)
        self.model, self.tokenizer, self.batch_size = model, tokenizer, batch_size
        self.reuse_prefix, self.processed_logprobs = reuse_prefix and not slides, processed_logprobs
        self.eos = list(eos or [tokenizer.eos_token_id])
        self.workers = workers or (torch.get_num_threads() if model.device.type == "cpu" else 1)
        self._memories: dict[Path | None, _Memory] = {}
        self._splits = model.device.type != "cpu" or model.num_parameters() >= _SPLIT
        peft = isinstance(model, PeftModel)
        self._adapters: dict[Path | None, str] = {None: model.active_adapter} if peft else {}  # PEFT's names
        # The model's own settings, a repetition penalty for one, would change the logits before the sampler sees them.
        base = model.get_base_model() if peft else model
        base.generation_config = GenerationConfig()
        attention.use(base)
        if model.device.type == "cpu":
            memory.keep_freed()

    def generate(
        self, prompts: Prompts, sampling: Sampling, seeds: Sequence[int], adapters: Adapters | None = None
    ) -> list[Completion]:
        adapters = adapters or [None] * len(prompts)
        done: dict[int, Completion] = {}
        known, self._memories = self._memories, {adapter: _Memory() for adapter in dict.fromkeys(adapters)}
        for adapter in self._memories:
            every = [i for i, a in enumerate(adapters) if a == adapter]
            for start in range(0, len(every), self.batch_size):
                rows = every[start : start + self.batch_size]
                rows.sort(key=lambda i: -len(prompts[i]))  # rows of a share are padded to its longest
                shares = self._shares(rows)

                def sample(share: list[int], adapter: Path | None = adapter) -> list[Completion]:
                    batch = [list(prompts[i]) for i in share], sampling, [seeds[i] for i in share]
                    return self._generate_batch(*batch, known.get(adapter), self._memories[adapter])

                with self._use(adapter):
                    for share, completions in zip(shares, self._shared_out(sample, shares), strict=True):
                        done.update(zip(share, completions, strict=True))
        return [done[i] for i in range(len(prompts))]

    @torch.inference_mode()
    def choose(self, prompts: Prompts, choices: Sequence[int]) -> list[list[float]]:
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))  # like lengths together: less padding
        found: dict[int, list[float]] = {}
        with self._use(None):
            for start in range(0, len(order), self.batch_size):
                rows = order[start : start + self.batch_size]
                ids, mask = _left_padded([prompts[i] for i in rows], self.tokenizer.pad_token_id, self.model.device)
                output = self.model(
                    input_ids=ids,
                    attention_mask=mask,
                    position_ids=(mask.cumsum(1) - 1).clamp(min=0),
                    use_cache=False,
                    logits_to_keep=1,
                )
                logprobs_BV = output.logits[:, -1].float().log_softmax(-1)
                found.update(zip(rows, logprobs_BV[:, list(choices)].tolist(), strict=True))
        return [found[i] for i in range(len(prompts))]

    def _shares(self, rows: list[int]) -> list[list[int]]:
        """`rows` in stretches that are sampled on their own: one on a GPU, as many for each worker on a CPU."""
        if self.model.device.type != "cpu":
            return [rows]
        rounds = math.ceil(len(rows) / (_SHARE * self.workers))
        n = max(1, min(rounds * self.workers, len(rows) // _FEWEST))
        return [rows[share * len(rows) // n : (share + 1) * len(rows) // n] for share in range(n)]

    def _shared_out(
        self, sample: Callable[[list[int]], list[Completion]], shares: list[list[int]]
    ) -> list[list[Completion]]:
        if len(shares) == 1 and self._splits:
            return [sample(shares[0])]
        with ThreadPoolExecutor(self.workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(sample, shares))

    def _use(self, adapter: Path | None) -> AbstractContextManager:
        """The context in which the model has `adapter`; None is the model as it was handed over."""
        if adapter is not None and adapter not in self._adapters:
            loading.check_adapter_weights(adapter, self.model.config)
            name = f"adapter_{len(self._adapters)}"
            if isinstance(self.model, PeftModel):
                self.model.load_adapter(adapter, adapter_name=name)
            else:
                self.model = PeftModel.from_pretrained(self.model, adapter, adapter_name=name).eval()
            self._adapters[adapter] = name
        if adapter in self._adapters:
            if self.model.active_adapter != self._adapters[adapter]:
                self.model.set_adapter(self._adapters[adapter])
            return _merged(self.model) if adapter and _may_be_merged(self.model) else nullcontext()
        return self.model.disable_adapter() if isinstance(self.model, PeftModel) else nullcontext()

    @torch.inference_mode()
    def _generate_batch(
        self,
        prompts: list[list[int]],
        sampling: Sampling,
        seeds: list[int],
        known: _Memory | None,
        memory: _Memory,
    ) -> list[Completion]:
        device, pad = self.model.device, self.tokenizer.pad_token_id
        found = known.find(prompts, pad) if known else None
        if found is None:
            state = _Computed(*_left_padded(prompts, pad, device), Cache(layer_class_to_replicate=_RoomyLayer))
        else:
            state, lengths = found
            suffix = _left_padded([p[n:] for p, n in zip(prompts, lengths, strict=True)], pad, device)
            state.ids, state.mask = (torch.cat(pair, 1) for pair in zip((state.ids, state.mask), suffix, strict=True))
        sampler = SeededSampler(sampling, seeds, device, self.processed_logprobs)
        rows = list(range(len(prompts)))  # those that have not ended
        ids: list[list[int]] = [[] for _ in prompts]
        logprobs: list[list[float]] = [[] for _ in prompts]
        for done in range(0, sampling.max_new_tokens, _STRETCH):
            steps = min(_STRETCH, sampling.max_new_tokens - done)
            n_new = self._stretch(state, sampler, steps)
            sampled = state.ids[:, -max(n_new) :].tolist()
            scored = torch.stack(sampler.logprobs, 1).tolist()
            for row, tokens, scores, n in zip(rows, sampled, scored, n_new, strict=True):
                ids[row] += tokens[:n]
                logprobs[row] += scores[:n]
            last = done + steps == sampling.max_new_tokens
            over = [i for i, row in enumerate(rows) if last or ids[row][-1] in self.eos]
            if over and self.reuse_prefix and found is None:
                part = state.select(torch.tensor(over, device=device))
                memory.add([prompts[rows[i]] + ids[rows[i]] for i in over], part)
            if len(over) == len(rows):
                break
            order = _closing_ranks(len(rows), over)
            rows = [rows[i] for i in order]
            kept = torch.tensor(order, device=device)
            if over:
                state.keep(kept)
            sampler.keep(kept)
        return [
            Completion(tokens, scores, "stop" if tokens[-1] in self.eos else "length")
            for tokens, scores in zip(ids, logprobs, strict=True)
        ]

    def _stretch(self, state: _Computed, sampler: SeededSampler, steps: int) -> list[int]:
        """Sample up to `steps` tokens for every row and advance `state`; returns how many each row has got."""
        width = state.ids.shape[1]
        output = self.model.generate(
            input_ids=state.ids,
            attention_mask=state.mask,
            past_key_values=state.cache,
            generation_config=GenerationConfig(
                max_new_tokens=steps,
                do_sample=False,
                eos_token_id=self.eos,
                pad_token_id=self.tokenizer.pad_token_id,
                return_dict_in_generate=True,
            ),
            logits_processor=LogitsProcessorList([sampler]),
        )
        new = output.sequences[:, width:]  # (B, T), padded after the end of a row
        ended = torch.isin(new, torch.tensor(self.eos, device=new.device)).long()
        n_new = torch.where(ended.any(1), ended.argmax(1) + 1, new.shape[1])
        written = torch.arange(new.shape[1], device=new.device) < n_new.unsqueeze(1)
        state.ids, state.cache = output.sequences, output.past_key_values
        state.mask = torch.cat([state.mask, written.long()], 1)
        return n_new.tolist()
