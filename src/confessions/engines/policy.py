"""Sampling from a policy in training with vLLM: the base model is loaded once, and each step hands over its adapter.

The adapter goes to vLLM as a LoRA request, through a folder in memory. No weight of the base model is ever written, in
the trainer or in vLLM: merging an adapter into bfloat16 weights and taking it out again leaves rounding in them, which
adds up over a run.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import gettempdir

import torch
from peft import PeftModel
from transformers import PreTrainedTokenizerBase

from confessions.engines.base import Adapters, Completion, Engine, Prompts, Sampling
from confessions.engines.vllm import VllmEngine
from confessions.models import loading

_MEMORY = Path("/dev/shm")  # a file system in memory, where there is one


def folder_in_memory(name: str) -> Path:
    """A folder for adapters that are handed over, in memory where that is a file system; not made."""
    return (_MEMORY if _MEMORY.is_dir() else Path(gettempdir())) / f"confessions-{name}"


class PolicyEngine(Engine):
    """The policy as it was when `sync` was last called.

    The first `sync` calls `start`, which makes the engine of the base model, able to serve adapters like the one in the
    folder that it gets. Adapters are handed over below `root`, which a killed run may have left and no other uses.
    """

    def __init__(self, start: Callable[[Path], VllmEngine], root: Path):
        shutil.rmtree(root, ignore_errors=True)
        self._start, self._root = start, root
        self._folder: Path | None = None
        self.engine: VllmEngine | None = None

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return self.engine.tokenizer

    @property
    def batch_size(self) -> int:
        return self.engine.batch_size

    def sync(self, policy: PeftModel, step: int) -> None:
        """Sample from `policy` as it is at `step` from now on. Does nothing when that was done for this step."""
        folder = self._root / f"step_{step}"
        if folder == self._folder:
            return
        loading.hand_over_adapter(policy, folder)
        if self.engine is None:
            with torch.random.fork_rng():  # vLLM sets the seed of the whole process when it starts
                self.engine = self._start(folder)
        self.engine.take_adapter(folder)
        if self._folder is not None:
            self.engine.forget_adapter(self._folder)
            shutil.rmtree(self._folder)
        self._folder = folder

    def generate(
        self, prompts: Prompts, sampling: Sampling, seeds: Sequence[int], adapters: Adapters | None = None
    ) -> list[Completion]:
        """See Engine; every prompt is the policy's. Raises ValueError when an adapter is named."""
        if any(adapters or ()):
            raise ValueError("a policy in training has one adapter, which is its own")
        return self.engine.generate(prompts, sampling, seeds, [self._folder] * len(prompts))

    def choose(self, prompts: Prompts, choices: Sequence[int]) -> list[list[float]]:
        """See Engine: under the base model."""
        return self.engine.choose(prompts, choices)

    def close(self) -> None:
        """End the engine and remove what was handed over; nothing can be sampled afterwards."""
        if self.engine is not None:
            self.engine.close()
        shutil.rmtree(self._root, ignore_errors=True)
