"""The architectures of the ladder: full shapes on the meta device, tiny ones through both turns."""

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from confessions.config import Train
from confessions.engines import Sampling
from confessions.engines.transformers import TransformersEngine
from confessions.models import loading
from confessions.rollouts.two_turns import Asked, opening, stream_seed, two_turns
from confessions.scoring.judge import LabelTrusting
from confessions.training import run
from confessions.training.base import Base
from confessions.training.trainer import DualSpanGRPOTrainer

# Values of the models' public config.json.
QWEN3 = {"vocab_size": 151936, "head_dim": 128, "num_key_value_heads": 8, "max_position_embeddings": 40960}
QWEN3 |= {"rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000}, "tie_word_embeddings": False}


def dense(hidden: int, feed_forward: int, layers: int, heads: int, **more: object) -> dict:
    shape = {"hidden_size": hidden, "intermediate_size": feed_forward, "num_hidden_layers": layers}
    return QWEN3 | shape | {"num_attention_heads": heads} | more


# model type, shape, parameters (as the hub's weight indices have them), adapted weights in a block
FULL = {
    "Qwen3-1.7B": ("qwen3", dense(2048, 6144, 28, 16, tie_word_embeddings=True), 1_720_574_976, 7),
    "Qwen3-4B": ("qwen3", dense(2560, 9728, 36, 32, tie_word_embeddings=True), 4_022_468_096, 7),
    "Qwen3-8B": ("qwen3", dense(4096, 12288, 36, 32), 8_190_735_360, 7),
    "Qwen3-14B": ("qwen3", dense(5120, 17408, 40, 40), 14_768_307_200, 7),
    "Qwen3-32B": ("qwen3", dense(5120, 25600, 64, 64), 32_762_123_264, 7),
    "Qwen3-30B-A3B": (
        "qwen3_moe",
        dense(2048, 6144, 48, 32, num_key_value_heads=4)
        | {"moe_intermediate_size": 768, "num_experts": 128, "num_experts_per_tok": 8, "norm_topk_prob": True},
        30_532_122_624,
        7,  # attention, router, and both tensors that hold the experts' weights
    ),
    "Olmo-3-7B": (
        "olmo3",
        {
            "vocab_size": 100278, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
            "num_attention_heads": 32, "num_key_value_heads": 32, "max_position_embeddings": 65536,
            "sliding_window": 4096,
        },
        7_298_011_136,
        7,
    ),
}  # fmt: skip


def model_of(kind: str, **shape: object) -> PreTrainedModel:
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **shape), dtype=torch.bfloat16)


@pytest.mark.parametrize("name", FULL)
def test_full_shape_and_its_adapter(name):
    """No number is computed: shapes alone, on the meta device."""
    kind, shape, n_parameters, n_adapted = FULL[name]
    with torch.device("meta"):
        model = model_of(kind, **shape)
        assert model.num_parameters() == n_parameters
        adapted = get_peft_model(model, LoraConfig(r=32, target_modules="all-linear", task_type="CAUSAL_LM"))
    lora = [key for key, _ in adapted.named_parameters() if "lora_A" in key]
    assert len(lora) == n_adapted * shape["num_hidden_layers"]
    assert not any("lm_head" in key for key in lora)


def test_olmo3_stretches_full_attention_alone():
    """Its config.json, older than transformers 5, has one rope_scaling; layers with a window must not get it."""
    yarn = {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 8192}
    config = AutoConfig.for_model("olmo3", **FULL["Olmo-3-7B"][1], rope_theta=500_000, rope_scaling=yarn)
    kinds = {kind: config.rope_parameters[kind]["rope_type"] for kind in ("full_attention", "sliding_attention")}
    assert kinds == {"full_attention": "yarn", "sliding_attention": "default"}
    assert {config.rope_parameters[kind]["rope_theta"] for kind in kinds} == {500_000}
    assert config.layer_types == (["sliding_attention"] * 3 + ["full_attention"]) * 8


TINY = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4}
TINY |= {"num_key_value_heads": 2, "max_position_embeddings": 2048, "tie_word_embeddings": True}
KINDS = {
    "qwen3": {"head_dim": 8},
    "qwen3_moe": {"head_dim": 8, "moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2},
    "olmo3": {"sliding_window": 8},
    "llama": {},
}


@pytest.fixture(params=KINDS)
def tiny(request, tokenizer) -> PreTrainedModel:
    torch.manual_seed(0)
    shape = TINY | KINDS[request.param] | {"vocab_size": len(tokenizer)}
    model = model_of(request.param, **shape, pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id)
    model = model.float().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4 if parameter.dim() > 1 else 1)  # far from uniform: a wrong mask shows
    return model


def test_both_turns_whatever_is_cached(tiny, chat, task):
    """Prompts of several lengths, turns that end at different steps: with a kept cache turn 2 is what it is without.

    OLMo-3 looks back over a window in most of its layers: a gap between the cached tokens and the new ones would narrow
    it.
    """
    specs = task.specs("train")[:6]
    seeds = [(stream_seed(3, row, 1), stream_seed(3, row, 2)) for row in range(len(specs))]
    conditions = ["baseline", "hard"] * 3
    turns = Sampling(40, temperature=1.0), Sampling(20, temperature=1.0)
    bias = torch.zeros(tiny.config.vocab_size)
    bias[chat.end_of_turn] = 4.0
    tiny.lm_head.bias = torch.nn.Parameter(bias)
    kept, fresh = (
        two_turns(
            TransformersEngine(tiny, chat.tokenizer, reuse_prefix=reuse, eos=chat.eos),
            chat, task, [*map(Asked, specs, seeds, conditions)], *turns,
        )
        for reuse in (True, False)
    )  # fmt: skip
    assert len({len(r.task.ids) for r in kept}) > 1
    assert [r.completion_ids for r in kept] == [r.completion_ids for r in fresh]
    for one, other in zip(kept, fresh, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def test_sampling_logprobs_are_the_models(tiny, chat, task):
    """Of both turns, from one forward pass without a cache: windows and routing included."""
    specs = task.specs("train")[:2]
    rollouts = two_turns(
        TransformersEngine(tiny, chat.tokenizer, eos=chat.eos),
        chat, task, [*map(Asked, specs, [(1, 2), (3, 4)])], Sampling(24), Sampling(24),
    )  # fmt: skip
    for rollout in rollouts:
        ids = torch.tensor([rollout.x_ids + rollout.completion_ids])
        with torch.no_grad():
            logits = tiny(ids).logits[0, len(rollout.x_ids) - 1 : -1].float()
        picked = logits.log_softmax(-1).gather(-1, torch.tensor(rollout.completion_ids).unsqueeze(-1)).squeeze(-1)
        generated = torch.tensor(rollout.spans.generated_mask()).bool()
        assert torch.tensor(rollout.logprobs)[generated].tolist() == pytest.approx(picked[generated].tolist(), abs=1e-3)


SETTINGS = {
    "steps": 2, "prompts_per_step": 1, "generations": 2, "learning_rate": 0.1, "kl_weight": 0.1,
    "lora": {"rank": 2, "alpha": 4.0, "target_modules": "all-linear"},
    "confession_reward": {"claims": "plain", "grade_weight": 0.2},
    "sampling": {"temperature": 1.0, "top_p": 1.0, "top_k": 0},
    "max_task_tokens": 12, "max_confession_tokens": 12, "checkpoint_fractions": [0.0, 1.0],
    "micro_batch": 2, "gradient_checkpointing": True, "warmup_steps": 0, "max_grad_norm": 1.0,
}  # fmt: skip


def test_trains_and_its_adapter_is_served(tiny, chat, task, tmp_path, monkeypatch):
    """Dual-span GRPO, the adapter on disk, and the engine with it: greedy tokens are those of the adapted model."""
    base = tmp_path / "base"
    tiny.save_pretrained(base)
    chat.tokenizer.save_pretrained(base)
    monkeypatch.setattr(  # so that there is a gradient
        DualSpanGRPOTrainer, "_confession_rewards", lambda self, rollout, **_: [sum(r.confession.ids) for r in rollout]
    )
    work = tmp_path / "work"
    settings = Train.model_validate(SETTINGS)
    run.run(settings, 0, task, LabelTrusting(task), Base(base, "float32", True, "tiny"), work)
    adapters = [*run.checkpoint_folders(settings, work).values()]
    prompts = [chat.prompt_ids(opening(task, spec)) for spec in task.specs("train")[:2]]
    engine = TransformersEngine(loading.load_model(base, "float32"), chat.tokenizer, eos=chat.eos)
    greedy = Sampling(12, temperature=0.0)
    served = engine.generate(prompts * 3, greedy, range(6), [None] * 2 + [adapters[0]] * 2 + [adapters[1]] * 2)
    ids = [completion.ids for completion in served]
    assert ids[2:4] == ids[:2]  # step 0 is the untrained policy
    assert [c.logprobs for c in served[4:]] != [c.logprobs for c in served[:2]]
    for prompt, completion in zip(prompts, served[4:], strict=True):
        assert completion.ids == greedily(base, adapters[1], prompt, len(completion.ids))


def test_a_trained_model_has_the_files_that_its_kind_has(tiny, chat, tmp_path):
    """Names and shapes as its authors' (the experts of a mixture lie apart there), in its dtype, tied weights once;
    loaded again, every weight is what it was."""
    base, out = tmp_path / "base", tmp_path / "out"
    tiny.save_pretrained(base)
    chat.tokenizer.save_pretrained(base)
    model = loading.load_model(base, "bfloat16").float()
    loading.save_model(model, model.state_dict(), out, "bfloat16", base)
    given, written = (load_file(folder / "model.safetensors") for folder in (base, out))
    assert {name: weights.shape for name, weights in written.items()} == {name: w.shape for name, w in given.items()}
    assert {weights.dtype for weights in written.values()} == {torch.bfloat16}
    again = loading.load_model(out, "bfloat16").state_dict()
    assert all(torch.equal(weights.bfloat16(), again[name]) for name, weights in model.state_dict().items())


def greedily(base: Path, adapter: Path, prompt: list[int], n: int) -> list[int]:
    """`n` tokens, each from a forward pass of its own over everything before it."""
    model = PeftModel.from_pretrained(loading.load_model(base, "float32"), adapter).eval()
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(n):
            ids.append(model(torch.tensor([ids], device=model.device)).logits[0, -1].argmax().item())
    return ids[len(prompt) :]
