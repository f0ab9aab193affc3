"""The sampler of a policy in training: what it hands to vLLM, and when. A stand-in takes vLLM's place."""

from pathlib import Path

import pytest
import torch
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file

from confessions.config import Lora
from confessions.engines import Completion, Sampling
from confessions.engines import vllm as vllm_module
from confessions.engines.policy import PolicyEngine, folder_in_memory
from confessions.models import loading
from confessions.runtime.errors import InputError
from confessions.training import run as training
from confessions.training.base import Base

LORA = Lora(rank=2, alpha=4.0, target_modules="all-linear")


class FakeVllm:
    """Remembers what it was asked, and that each adapter was there when it was asked for."""

    def __init__(self, folder: Path):
        assert (folder / loading.ADAPTER_FILE).is_file()
        torch.manual_seed(0)  # as vLLM does when it starts
        self.taken, self.forgotten, self.asked, self.closed = [], [], [], False

    def generate(self, prompts, sampling, seeds, adapters):
        assert all((folder / loading.ADAPTER_FILE).is_file() and folder in self.taken for folder in adapters)
        self.asked.append(adapters)
        return [Completion([1], [-0.5], "stop") for _ in prompts]

    def take_adapter(self, folder):
        self.taken.append(folder)

    def forget_adapter(self, folder):
        assert folder.is_dir()
        self.forgotten.append(folder)

    def close(self):
        self.closed = True


@pytest.fixture
def policy(model) -> PeftModel:
    return get_peft_model(model, loading.lora_config(LORA))


def test_each_step_hands_over_its_adapter_and_forgets_the_one_before(policy, tmp_path):
    (tmp_path / "root" / "step_0").mkdir(parents=True)  # a killed run left it
    starts = []
    engine = PolicyEngine(lambda folder: starts.append(FakeVllm(folder)) or starts[-1], tmp_path / "root")
    state = torch.get_rng_state()
    engine.sync(policy, 0)
    assert torch.equal(torch.get_rng_state(), state), "the start of vLLM has moved the trainer's random numbers"
    [fake] = starts
    engine.sync(policy, 0)
    for _ in range(2):
        engine.generate([[1], [2]], Sampling(4), [0, 1])
    engine.sync(policy, 1)
    assert fake.forgotten == [tmp_path / "root/step_0"]
    engine.generate([[1]], Sampling(4), [0], [None])
    assert [{str(f.name) for f in asked} for asked in fake.asked] == [{"step_0"}, {"step_0"}, {"step_1"}]
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["step_1"]
    assert len(starts) == 1
    with pytest.raises(ValueError, match="has one adapter, which is its own"):
        engine.generate([[1]], Sampling(4), [0], [tmp_path])
    engine.close()
    assert fake.closed
    assert not (tmp_path / "root").exists()


def test_an_engine_that_never_started_closes(tmp_path):
    PolicyEngine(FakeVllm, tmp_path / "root").close()
    assert folder_in_memory("abc").name == "confessions-abc"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_is_handed_over_is_the_policy(random_nano, tmp_path, dtype):
    """In the dtype of the base model: PEFT loads it, and it computes what the policy does; the base stays as it was."""
    base = loading.load_model(random_nano, dtype)
    before = {name: weights.clone() for name, weights in base.state_dict().items()}
    policy = get_peft_model(base, loading.lora_config(LORA)).eval()
    with torch.no_grad():
        for name, weights in policy.named_parameters():
            if "lora_B" in name:
                weights.normal_(std=0.1)
    ids = torch.tensor([[5, 6, 7, 300]])
    with torch.inference_mode():
        expected = policy(ids).logits.float()
    loading.hand_over_adapter(policy, tmp_path / "adapter")
    weights = load_file(tmp_path / "adapter" / loading.ADAPTER_FILE)
    assert {tensor.dtype for tensor in weights.values()} == {base.dtype}
    assert {path.name for path in (tmp_path / "adapter").iterdir()} == {"adapter_config.json", loading.ADAPTER_FILE}
    after = {name.replace(".base_layer", ""): tensor for name, tensor in policy.get_base_model().state_dict().items()}
    for name, tensor in before.items():
        assert torch.equal(after[name], tensor), name
    fresh = loading.load_model(random_nano, dtype)
    with torch.inference_mode():
        found = PeftModel.from_pretrained(fresh, tmp_path / "adapter").eval()(ids).logits.float()
    torch.testing.assert_close(found, expected, atol=1e-5 if dtype == "float32" else 0.05, rtol=0)


def test_training_with_vllm_where_it_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(vllm_module, "find_spec", lambda name: None)
    base = Base(tmp_path / "model", "float32", True, "tiny")
    with pytest.raises(InputError, match="vLLM is not installed here"):
        training.sampler(train_settings(), base, None, 99, tmp_path / "work")
    assert training.sampler(train_settings(engine="transformers"), base, None, 99, tmp_path / "work") is None


@pytest.mark.parametrize(("temperature", "logprobs"), [(1.0, "raw_logprobs"), (0.7, "processed_logprobs")])
def test_what_the_training_engine_is_started_with(tmp_path, monkeypatch, temperature, logprobs):
    """Log-probabilities of the distribution that is sampled from, which may be the model's own; room for the longest
    conversation and the adapter."""
    started = {}

    def start(options, *given, **more):
        started.update(options=options, given=given, more=more)

    monkeypatch.setattr(vllm_module, "require", lambda: None)
    monkeypatch.setattr(vllm_module, "start", start)
    sampling = {"temperature": temperature, "top_p": 1.0, "top_k": 0}
    settings = train_settings(vllm={"gpu_memory_utilization": 0.4}, sampling=sampling)
    chat = type("Chat", (), {"tokenizer": "tokenizer", "eos": [7]})
    engine = training.sampler(settings, Base(tmp_path / "model", "bfloat16", True, "tiny"), chat, 99, tmp_path / "work")
    engine._start(tmp_path / "adapter")
    assert started["options"]["gpu_memory_utilization"] == 0.4
    assert started["options"]["max_model_len"] == 99
    rows = settings.prompts_per_step * settings.generations
    assert started["given"] == (tmp_path / "model", "bfloat16", "tokenizer", rows, [tmp_path / "adapter"], [7])
    assert started["more"] == {"logprobs": logprobs}


def train_settings(**changes):
    return training.Train.model_validate(
        {
            "steps": 1, "prompts_per_step": 2, "generations": 2, "learning_rate": 1e-3, "kl_weight": 0.0,
            "lora": LORA.model_dump(), "confession_reward": {"claims": "plain", "grade_weight": 0.2},
            "sampling": {"temperature": 1.0, "top_p": 1.0, "top_k": 0},
            "max_task_tokens": 20, "max_confession_tokens": 30, "checkpoint_fractions": [0.0, 1.0],
            "micro_batch": 4, "gradient_checkpointing": False, "warmup_steps": 0, "max_grad_norm": 1.0,
            "engine": "vllm",
        } | changes
    )  # fmt: skip
