"""Samplers behind one interface: token-id prompts in; token ids, log-probabilities and finish reasons out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from confessions.engines.base import Adapters, Completion, Engine, Prompts, Sampling, context


def start(
    options: Mapping[str, Any],
    folder: Path,
    dtype: str,
    tokenizer: PreTrainedTokenizerBase,
    batch_size: int = 64,
    adapters: Sequence[Path] = (),
    eos: Sequence[int] | None = None,
) -> Engine:
    """The engine that `options` (a dump of blocks.Engine) names, with the model in `folder`.

    `adapters` are all that will be asked for; `eos` the ids that end a turn (default: the tokenizer's). Raises
    InputError when the model or the engine cannot be loaded.
    """
    if options["kind"] == "vllm":
        from confessions.engines import vllm

        return vllm.start(options, folder, dtype, tokenizer, batch_size, adapters, eos)
    from confessions.engines.transformers import TransformersEngine
    from confessions.models import loading

    # Frozen from the start, as PEFT freezes it with the first adapter: torch multiplies otherwise by weights that want
    # gradients, and the base model's own log-probabilities would hang, in the last bit, on what was sampled before.
    model = loading.load_model(folder, dtype).requires_grad_(False)
    return TransformersEngine(model, tokenizer, batch_size, eos=eos)
