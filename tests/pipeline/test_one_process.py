"""Training and rollouts without Snakemake: the files of the workflow, and one engine for all."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from confessions.config import load
from confessions.engines import vllm
from confessions.pipeline import one_process, paths
from confessions.runtime.errors import InputError
from confessions.runtime.files import read_parquet

ROOT = Path(__file__).parents[2]
SMALL = {
    "seeds": [0, 1],
    "train": {"steps": 1, "prompts_per_step": 1, "generations": 2, "micro_batch": 2, "warmup_steps": 0,
              "max_task_tokens": 6, "max_confession_tokens": 6, "checkpoint_fractions": [0, 1]},
    "evaluation": {"conditions": ["baseline"], "variants": ["default"], "rollouts": 2, "max_task_tokens": 6,
                   "max_confession_tokens": 6, "batch_size": 4, "probes": {"more": {"rollouts": 2}}},
    "survey": None,
}  # fmt: skip


@pytest.fixture
def config(tmp_path):
    import yaml

    over = tmp_path / "over.yaml"
    over.write_text(yaml.safe_dump({"experiments": {"demo": SMALL | {"policy": "nano-xs"}}}))
    return load(ROOT / "config.yaml", over)


def test_what_is_made_is_what_the_workflow_makes_and_is_made_once(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one_process.run(config, ["demo:1"], lambda line: None)
    for step in (0, 1):
        for file in (paths.rollout_file(config, 1, step), paths.rollout_file(config, 1, step, "more")):
            assert set(read_parquet(file)["training_seed"]) == {1}, file
            assert set(read_parquet(file)["step"]) == {step}
        assert (Path(paths.adapter_folder(config, 1, step)) / "adapter_model.safetensors").exists()
    assert not Path(paths.run_folder(config, 0)).exists()
    before = {file: file.stat().st_mtime_ns for file in Path("results").rglob("*") if file.is_file()}
    one_process.run(config, ["demo:1"], lambda line: None)
    assert {file: file.stat().st_mtime_ns for file in before} == before


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("demo", "give experiment:seed"),
        ("none:0", "give experiment:seed"),
        ("scale:0", "give experiment:seed"),
        ("demo:7", "demo has the seeds 0, 1"),
        ("qwen_judge:0", "more than one process or model"),
    ],
)
def test_a_name_that_is_none_is_one_line(config, name, said):
    with pytest.raises(InputError, match=said):
        one_process.run(config, [name], lambda line: None)


def test_an_engine_that_is_kept_serves_every_start_and_ends_once(monkeypatch, tmp_path):
    started, ended = [], []

    def fake(options, folder, *rest):
        started.append((options["max_model_len"], folder.name))
        config = SimpleNamespace(max_model_len=9, logprobs_mode="raw_logprobs")
        core = SimpleNamespace(engine_core=SimpleNamespace(shutdown=lambda: ended.append(folder.name)))
        return vllm.VllmEngine(SimpleNamespace(model_config=config, llm_engine=core), None, eos=[1])

    monkeypatch.setattr(vllm, "_start", fake)
    asked = {"max_model_len": 5}, tmp_path / "a", "bfloat16", None
    assert not vllm.running()
    with vllm.kept({"max_model_len": 7}):
        first, second = vllm.start(*asked, 3), vllm.start(*asked, 8)
        assert first is second
        assert second.batch_size == 8
        first.close()
        assert (started, ended, vllm.running()) == ([(7, "a")], [], True)
        with pytest.raises(InputError, match="temperature 1, top_p 1, top_k 0"):
            vllm.start(*asked, 3, logprobs="processed_logprobs")
    assert (ended, vllm.running()) == (["a"], False)
    assert vllm.start(*asked, 4) is not first
    assert started[-1] == (5, "a")
