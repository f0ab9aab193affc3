"""What the tests share: a random embedded model made on the spot, and an engine that says what it is told."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from confessions.engines import Adapters, Completion, Engine, Prompts, Sampling
from confessions.models import loading
from confessions.models.chat import Chat
from confessions.nano.recipe import Shape, corpus_texts, new_model
from confessions.nano.tokenizer import build_tokenizer
from confessions.prompts import load
from confessions.tasks import get as get_task
from confessions.tasks.base import Task


@pytest.fixture(scope="session")
def random_nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a nano of 64k random weights; its tokenizer knows the judge's words too."""
    folder = tmp_path_factory.mktemp("models") / "random_nano"
    tokenizer = build_tokenizer([*corpus_texts(), load("judge")])
    torch.manual_seed(0)
    new_model(tokenizer, Shape(hidden=32, layers=2, heads=2, kv_heads=2, feed_forward=64)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tokenizer(random_nano: Path) -> PreTrainedTokenizerBase:
    return loading.load_tokenizer(random_nano)


@pytest.fixture(scope="session")
def chat(tokenizer: PreTrainedTokenizerBase) -> Chat:
    return Chat(tokenizer, thinking=True)


@pytest.fixture(scope="session")
def task() -> Task:
    return get_task("word_count")


@pytest.fixture
def model(random_nano: Path) -> PreTrainedModel:
    """A fresh copy for each test: adapters change a model in place."""
    return loading.load_model(random_nano, "float32")


@pytest.fixture
def biased(model: PreTrainedModel) -> Callable[[int, float], PreTrainedModel]:
    """The model with one token's logit raised everywhere."""

    def bias(token: int, amount: float) -> PreTrainedModel:
        offsets = torch.zeros(model.config.vocab_size, device=model.device)
        offsets[token] = amount
        model.lm_head.bias = torch.nn.Parameter(offsets)
        return model

    return bias


@pytest.fixture
def random_adapter(random_nano: Path, tmp_path: Path) -> Callable[[int], Path]:
    """Saves a LoRA adapter of random_nano, far from zero, and returns its folder."""

    def make(seed: int) -> Path:
        folder = tmp_path / f"adapter.{seed}"
        torch.manual_seed(seed)
        config = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
        adapted = get_peft_model(loading.load_model(random_nano, "float32"), config)
        loading.save_adapter(adapted, folder, loading.fingerprint(random_nano))
        return folder

    return make


class ScriptedEngine(Engine):
    """Answers call after call from a script and keeps the calls."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *script: list[Completion] | list[list[float]]):
        self.tokenizer, self.batch_size, self.script = tokenizer, 64, list(script)
        self.calls: list[SimpleNamespace] = []

    def generate(
        self, prompts: Prompts, sampling: Sampling, seeds: Sequence[int], adapters: Adapters | None = None
    ) -> list[Completion]:
        self.calls.append(SimpleNamespace(prompts=prompts, sampling=sampling, seeds=seeds, adapters=adapters))
        completions = self.script.pop(0)
        assert len(completions) == len(prompts)
        return completions

    def choose(self, prompts: Prompts, choices: Sequence[int]) -> list[list[float]]:
        self.calls.append(SimpleNamespace(prompts=prompts, choices=choices))
        logprobs = self.script.pop(0)
        assert len(logprobs) == len(prompts)
        return logprobs


@pytest.fixture
def scripted(tokenizer: PreTrainedTokenizerBase) -> Callable[..., ScriptedEngine]:
    """Makes a ScriptedEngine: one list of completions (or of log-probabilities to choose by) a call; a text stands for
    its ids and a sampled end of turn."""

    def completion(reply: str | Completion | list[float]) -> Completion | list[float]:
        if not isinstance(reply, str):
            return reply
        ids = [*tokenizer.encode(reply, add_special_tokens=False), tokenizer.eos_token_id]
        return Completion(ids, [-1.0] * len(ids), "stop")

    return lambda *script: ScriptedEngine(tokenizer, *([completion(r) for r in replies] for replies in script))
