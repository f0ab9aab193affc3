"""Whether a training step fits a GPU: exact sizes of a small model, and what was measured on a GPU."""

import pytest
import torch
from test_plan import small
from test_trainer import SETTINGS

from confessions.config import Train
from confessions.models import costs, loading
from confessions.models.costs import Shape
from confessions.pipeline.plan import sizes
from confessions.pipeline.plan.plan import Plan
from confessions.runtime.errors import InputError
from confessions.training import gpu_memory
from confessions.training import run as training
from confessions.training.base import Base

SHAPE = Shape(parameters=1000, active=1000, hidden=8, feed_forward=16, layers=3, heads=2, kv_heads=1, head_dim=4)
TILE = 4096 * 32768


def settings(**changes: object) -> Train:
    return Train.model_validate(SETTINGS | changes)


def test_the_largest_micro_batch_is_of_the_longest_rollouts():
    assert gpu_memory.micro_batch(settings(), 100) == 4 * 100
    assert gpu_memory.micro_batch(settings(micro_batch_tokens=250), 100) == 250
    assert gpu_memory.micro_batch(settings(micro_batch_tokens=9000), 100) == 400
    assert gpu_memory.micro_batch(settings(micro_batch_tokens=60), 100) == 100  # a long one stands alone
    shared = settings(shared_prefix=True, micro_batch_tokens=60)  # two a group, 20 + 30 new tokens
    assert gpu_memory.micro_batch(shared, 100) == 150
    assert gpu_memory.micro_batch(settings(shared_prefix=True, answers="a.parquet", micro_batch_tokens=60), 100) == 130
    several = settings(shared_prefix=True, confessions_per_answer=3, micro_batch_tokens=60)  # three of one answer
    assert gpu_memory.micro_batch(several, 100) == 160


def test_every_part_of_an_adapters_step():
    """Of a token and layer: 4 (2*8 + 8 + 4) normalised, 2 (5*8 + 8 + 16) inputs, 2*4*8 attention, 2*3*16 gated."""
    a_layer = 112 + 128 + 64 + 96
    assert gpu_memory.layer_bytes(SHAPE, 2, full=False) == a_layer == 400
    parts = gpu_memory.training(settings(), SHAPE, 50, "bfloat16", 100, 1e6)
    assert parts == {
        "weights": 2000,
        "adapter and optimizer": 800,
        "activations of a micro-batch of 400 tokens": 400 * 3 * 400,
        "a tile of logits": 2 * TILE + 400 * 8 * (4 + 2 * 2),
    }
    checkpointed = gpu_memory.training(settings(gradient_checkpointing=True), SHAPE, 50, "bfloat16", 100, 1e6)
    assert checkpointed["activations of a micro-batch of 400 tokens"] == 400 * (3 * 8 * 2 + 400)
    compiled = gpu_memory.training(settings(compile_layers=True), SHAPE, 50, "bfloat16", 100, 1e6)
    assert compiled["activations of a micro-batch of 400 tokens"] == 400 * 3 * 400 * 2 / 3
    vllm = {"engine": "vllm", "vllm": {"gpu_memory_utilization": 0.25}}
    assert gpu_memory.training(settings(**vllm), SHAPE, 50, "bfloat16", 100, 1e6) == {"vLLM": 250_000.0} | parts


def test_every_part_where_each_weight_is_trained():
    """16 bytes a weight, 4 of the reference, and all of them once more in the dtype of the forward pass."""
    name = "weights, gradients and optimizer"

    def fixed(dtype: str = "bfloat16", **changes: object) -> float:
        return gpu_memory.training(settings(lora=None, **changes), SHAPE, 1000, dtype, 100, 1e6)[name]

    assert fixed() == 1000 * (16 + 4 + 2)
    assert fixed(kl_weight=0.0) == 1000 * (16 + 2)
    assert fixed("float32") == 1000 * (16 + 4)
    assert fixed(processes=2, micro_batch=2) == 1000 * ((16 + 4) / 2 + 2)
    assert gpu_memory.layer_bytes(SHAPE, 4, full=True) == 2 * 112 + 2 * (128 + 64 + 96)


# Model, tokens of a micro-batch, gradient_checkpointing, compile_layers, peak GiB: docs/results/performance.md
MEASURED = [
    ("Qwen/Qwen3-8B", 3250, False, False, 41.3), ("Qwen/Qwen3-8B", 6500, False, False, 65.8),
    ("Qwen/Qwen3-8B", 4953, False, False, 54.2), ("Qwen/Qwen3-8B", 9906, False, False, 99.0),
    ("Qwen/Qwen3-8B", 3250, False, True, 33.1), ("Qwen/Qwen3-8B", 4953, False, True, 41.6),
    ("Qwen/Qwen3-8B", 4953, True, False, 19.5), ("Qwen/Qwen3-8B", 13000, True, False, 24.3),
    ("Qwen/Qwen3-8B", 19812, True, False, 28.8), ("Qwen/Qwen3-4B", 3250, False, False, 27.9),
    ("Qwen/Qwen3-4B", 4953, False, False, 37.9), ("Qwen/Qwen3-4B", 3250, True, False, 9.9),
]  # fmt: skip


@pytest.mark.parametrize(("model", "tokens", "checkpointing", "compiled", "peak"), MEASURED)
def test_the_estimate_is_within_a_tenth_of_what_was_measured(model, tokens, checkpointing, compiled, peak):
    shape = costs.shapes()[model]
    lora = {"rank": 32, "alpha": 64.0, "target_modules": "all-linear"}
    given = settings(
        lora=lora, micro_batch=1, gradient_checkpointing=checkpointing, compile_layers=compiled, kl_weight=0.0
    )
    parts = gpu_memory.training(given, shape, shape.adapter_parameters(32), "bfloat16", tokens, 141e9)
    assert sum(parts.values()) / 2**30 == pytest.approx(peak, rel=0.1)


def test_what_does_not_fit_is_one_line_with_every_number():
    """Qwen2.5-Coder-1.5B, micro-batches of 16 rollouts of 1,100 tokens beside vLLM's third of an H100."""
    shape = Shape(1_543_714_304, 1_543_714_304, 1536, 8960, 28, 12, 2, 128)
    vllm = {"engine": "vllm", "vllm": {"gpu_memory_utilization": 0.3}}
    lora = {"rank": 32, "alpha": 64.0, "target_modules": "all-linear"}
    given = settings(lora=lora, micro_batch=16, generations=16, **vllm)
    memory = 80 * 2**30
    parts = gpu_memory.training(given, shape, shape.adapter_parameters(32), "bfloat16", 1100, memory)
    with pytest.raises(InputError) as caught:
        gpu_memory.refuse(parts, memory - 2**30, "NVIDIA H100", given)
    assert str(caught.value) == (
        "training needs 83.8 GiB of GPU memory, and NVIDIA H100 has 79.0 GiB free: vLLM 24.0 + weights 2.9 + adapter "
        "and optimizer 0.6 + activations of a micro-batch of 17,600 tokens 55.9 + a tile of logits 0.5; lower "
        "train.micro_batch (now 16), or set train.gradient_checkpointing: true, or lower "
        "train.vllm.gpu_memory_utilization (now 0.3)"
    )
    gpu_memory.refuse(parts, sum(parts.values()), "NVIDIA H100", given)
    packed = given.model_copy(update={"micro_batch_tokens": 8000, "gradient_checkpointing": True})
    with pytest.raises(InputError, match=r"; lower train\.micro_batch_tokens \(now 8000\), or lower train\.vllm"):
        gpu_memory.refuse(parts, 1.0, "NVIDIA H100", packed)


def test_a_models_shape_is_read_off_its_folder(random_nano):
    model = loading.load_model(random_nano, "float32")
    assert loading.shape_of(random_nano) == Shape(model.num_parameters(), model.num_parameters(), 32, 64, 2, 2, 2, 16)
    rank = settings(lora={"rank": 2, "alpha": 4.0, "target_modules": "all-linear"}).lora
    assert loading.adapter_parameters(rank, random_nano) == loading.shape_of(random_nano).adapter_parameters(2)


def test_a_gpu_that_is_too_small_is_met_before_a_model_is_loaded(random_nano, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (2**27, 2**30))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "tiny GPU")
    with pytest.raises(InputError, match=r"needs 0\.\d GiB of GPU memory, and tiny GPU has 0\.1 GiB free: wei"):
        training.check_memory(settings(), Base(random_nano, "bfloat16", True, "tiny"), 100)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (2**30, 2**30))
    training.check_memory(settings(), Base(random_nano, "bfloat16", True, "tiny"), 100)


def test_the_plan_says_it_too():
    """Qwen3-8B, two rollouts of 5,000 tokens a micro-batch, on 80 GB."""
    config = small()
    train = config.active.train
    train.__dict__ |= {"max_task_tokens": 3000, "max_confession_tokens": 6000, "gradient_checkpointing": False}
    (line,) = [line for line in sizes.too_large(Plan(config, "H100")) if line.startswith("train_policy")]
    assert "train_policy qwen3-8b: a step takes 1" in line
    assert "lower micro_batch, or set gradient_checkpointing" in line
    train.__dict__ |= {"gradient_checkpointing": True}
    assert not [line for line in sizes.too_large(Plan(config, "H100")) if line.startswith("train_policy")]
