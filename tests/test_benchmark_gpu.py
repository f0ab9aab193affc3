"""benchmarks/gpu.py: what it counts is what the real architectures do, and every row of a dry run is there."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen3ForCausalLM

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def shapes(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import gpu_shapes

    return gpu_shapes


@pytest.mark.parametrize(("name", "parameters"), [("QWEN3_8B", 8_190_735_360), ("QWEN3_4B", 4_022_468_096)])
def test_weights_are_those_of_the_architecture(shapes, name, parameters):
    shape = getattr(shapes, name)
    with torch.device("meta"):
        model = Qwen3ForCausalLM(shape.config())
        linear = sum(m.weight.numel() for m in model.model.layers.modules() if isinstance(m, torch.nn.Linear))
        total = sum(p.numel() for p in model.parameters())
        adapted = get_peft_model(model, LoraConfig(r=32, target_modules="all-linear", task_type="CAUSAL_LM"))
    assert total == parameters
    assert shape.layer_weights == linear
    assert shape.head_weights == model.lm_head.weight.numel()
    assert shape.lora_weights(32) == sum(p.numel() for p in adapted.parameters() if p.requires_grad)


def test_forward_operations_are_those_of_a_counted_pass(shapes):
    n = 48
    with torch.device("meta"):
        model = Qwen3ForCausalLM._from_config(shapes.TINY.config(), attn_implementation="eager")
        with FlopCounterMode(display=False) as counter:
            model(input_ids=torch.zeros(1, n, dtype=torch.long))
    square = shapes.TINY._attention_flop(n)  # eager attention computes the upper triangle too
    rotary = 2 * shapes.TINY.head // 2 * n  # angles: positions times frequencies, as a matrix product
    assert counter.get_total_flops() == shapes.TINY.forward_flop(n, n) + square + rotary


def test_a_training_pass_costs_what_its_products_do(shapes):
    """With frozen weights: two passes over them, three over the adapter's and over attention."""
    shape, n = shapes.TINY, 48
    linear, attention = 2 * (shape.layer_weights + shape.head_weights) * n, shape._attention_flop(n)
    assert shape.training_flop(n, n, 4) == 2 * linear + 3 * attention + 6 * shape.lora_weights(4) * n
    assert shape.recomputed_flop(n, n, 4, False) == 2 * shape.head_weights * n
    layers = 2 * shape.layer_weights * n + attention + 2 * shape.lora_weights(4) * n
    assert shape.recomputed_flop(n, n, 4, True) == 2 * shape.head_weights * n + layers


def test_a_decoding_step_reads_weights_once_and_every_cache(shapes):
    cache = 2 * 36 * 8 * 128 * 2  # keys and values, layers, heads, numbers, bytes
    both = shapes.QWEN3_8B.decode_bytes([10, 30])
    assert both - shapes.QWEN3_8B.decode_bytes([10]) == 30 * cache
    assert shapes.QWEN3_8B.decode_bytes([]) == 2 * (6_945_767_424 + 622_329_856)


def test_lengths_have_the_mean_that_is_asked_for(shapes):
    lengths = shapes.spread_lengths(64, 1_500)
    assert sum(map(sum, lengths)) == pytest.approx(2 * 64 * 1_500, abs=64)
    assert max(map(sum, lengths)) > 1.4 * 3_000


def test_dry_run(tmp_path):
    command = [sys.executable, BENCHMARKS / "gpu.py", "--tiny", "--rollouts", "8", "--lengths", "spread"]
    command += ["--who", "dual-span", "TRL", "--checkpointing", "off", "--out", tmp_path]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    rows = {row["what"]: row for row in map(json.loads, (tmp_path / "rows.jsonl").read_text().splitlines())}
    for who in ("dual-span", "TRL"):
        row = rows[f"tiny {who}, spread, no checkpointing"]
        assert row["seconds"] > 0
        assert 0 < row["of ceiling"] < 1
    assert rows["tiny turn 2, 8 rows, 8 steps"]["again"] == 8  # the token sampled last has not been read yet
    assert any(what.startswith("tiny decode, 8 rows") for what in rows)
