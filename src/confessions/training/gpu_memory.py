"""Whether a training step fits a GPU's memory, told from sizes before anything is loaded. Nothing here imports torch.

At its peak a step holds the weights, what is trained with its gradient and AdamW's two moments, vLLM where it samples
beside the trainer, and of one micro-batch what the backward pass needs. The last is told per token and layer, of
hidden size h, queries q, keys k, feed-forward f, in numbers of b bytes:

    4 (2 h + q + k)          what is normalised, in float32 whatever the dtype
    b (5 h + q + f)          the input of each linear map (seven of them; each has its own copy where it is cast)
    b (4 q)                  attention: queries, keys and values for every head, and its output
    b (3 f)                  the gated unit

With gradient checkpointing a layer keeps its input alone, and one layer at a time has all of it. The output head needs
a tile of logits (TRL's, whatever the number of tokens and words), and hidden states of the tokens it scores. Held to
what was measured in docs/results/performance.md (tests/training/test_gpu_memory.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from confessions.config import Train
from confessions.models.costs import SIZE, Shape
from confessions.runtime.errors import InputError

TRAINED = 16  # bytes a number that is trained: itself, its gradient and AdamW's two moments, in float32
COMPILED = 2 / 3  # of the activations: compiled layers keep fewer of them (docs/results/performance.md)
TILE = 4096 * 32768  # logits that TRL's output head computes at a time: tokens x words
GIB = 2**30


def micro_batch(settings: Train, longest: int) -> int:
    """Tokens of the largest micro-batch, padding included, where rollouts have up to `longest`. Those of a group that
    share what they begin with are one row."""
    if settings.shared_prefix:
        several = settings.confessions_per_answer > 1
        sampled = settings.max_confession_tokens + (0 if settings.answers or several else settings.max_task_tokens)
        longest += ((settings.confessions_per_answer if several else settings.generations) - 1) * sampled
    tokens = settings.micro_batch * longest
    return max(longest, min(tokens, settings.micro_batch_tokens or tokens))


def training(settings: Train, shape: Shape, trained: int, dtype: str, longest: int, memory: float) -> dict[str, float]:
    """Bytes of each part at the peak of a training step on each GPU, of `memory` bytes.

    `trained` counts the numbers that are trained, of an adapter or of the model; rollouts have up to `longest` tokens.
    Left out: the cache of a policy that samples for itself, which is given back before the gradient.
    """
    size, tokens, full = SIZE[dtype], micro_batch(settings, longest), not settings.lora
    shared = settings.processes if settings.sharded else 1
    parts = {}
    if settings.engine == "vllm":
        parts["vLLM"] = settings.vllm.gpu_memory_utilization * memory
    if full:  # the forward pass reads them in the model's dtype
        reference = SIZE["float32"] * bool(settings.kl_weight)
        copy = 0 if size == SIZE["float32"] and shared == 1 else size
        parts["weights, gradients and optimizer"] = shape.parameters * ((TRAINED + reference) / shared + copy)
    else:
        parts["weights"] = shape.parameters * size
        parts["adapter and optimizer"] = trained * TRAINED
    layer = layer_bytes(shape, size, full)
    if settings.gradient_checkpointing:
        kept = shape.layers * shape.hidden * (SIZE["float32"] if full else size) + layer
    else:
        kept = shape.layers * layer * (COMPILED if settings.compile_layers else 1)
    parts[f"activations of a micro-batch of {tokens:,} tokens"] = tokens * kept
    parts["a tile of logits"] = TILE * size + tokens * shape.hidden * (SIZE["float32"] + 2 * size)
    return parts


def layer_bytes(shape: Shape, size: int, full: bool) -> float:
    """What the backward pass of one layer needs of each token; `size` is that of a number in the layers' dtype. Where
    the norms' own weights are trained, what they are multiplied by is kept too."""
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    normalised = SIZE["float32"] * (2 * shape.hidden + queries + keys) * (2 if full else 1)
    inputs = 5 * shape.hidden + queries + shape.feed_forward
    return normalised + size * (inputs + 4 * queries + 3 * shape.feed_forward)


def refuse(parts: Mapping[str, float], free: float, device: str, settings: Train) -> None:
    """Raise InputError, with every number, where the parts do not fit into `free` bytes of the GPU called `device`."""
    if (needed := sum(parts.values())) <= free:
        return
    listed = " + ".join(f"{name} {size / GIB:.1f}" for name, size in parts.items())
    fixes = [f"lower train.micro_batch (now {settings.micro_batch})"]
    if settings.micro_batch_tokens:
        fixes = [f"lower train.micro_batch_tokens (now {settings.micro_batch_tokens})"]
    if not settings.gradient_checkpointing:
        fixes.append("set train.gradient_checkpointing: true")
    if settings.engine == "vllm":
        fixes.append(f"lower train.vllm.gpu_memory_utilization (now {settings.vllm.gpu_memory_utilization})")
    raise InputError(
        f"training needs {needed / GIB:.1f} GiB of GPU memory, and {device} has {free / GIB:.1f} GiB free: {listed}; "
        + ", or ".join(fixes)
    )
