"""Training rollouts from the vLLM that TRL keeps in step with the policy, in the trainer's process or behind a server.

TRL loads the policy's merged weights into it before it calls rollout_func, and empties its prefix cache then: both
turns of a step are sampled from the same weights, and turn 2 continues turn 1. Log-probabilities are those after the
temperature, top-p and top-k, which TRL's correction of importance is made for.
"""

from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedTokenizerBase
from trl.generation.vllm_generation import VLLMGeneration

from confessions.engines.base import Completion, Engine, Sampling
from confessions.engines.vllm import VllmEngine


def training_engine(
    generation: VLLMGeneration,
    tokenizer: PreTrainedTokenizerBase,
    batch_size: int,
    eos: Sequence[int] | None = None,
) -> Engine:
    """The engine over a trainer's `vllm_generation`. Raises ValueError for settings that its two turns do not bear."""
    if generation.enable_sleep_mode:
        raise ValueError("vllm_enable_sleep_mode drops the cache between the turns: switch it off")
    if generation.mode == "server":
        return ServerEngine(generation, tokenizer, batch_size, eos)
    if generation.tensor_parallel_size > 1:
        raise ValueError("a colocated vLLM samples each process's own rows: vllm_tensor_parallel_size must be 1")
    return VllmEngine(generation.llm, tokenizer, batch_size, eos)


class ServerEngine(Engine):
    """Samples from `vllm serve` through TRL's client, all processes' rows in one request.

    The server's interface has one seed for a whole request, under which a group's rollouts would all be the same:
    `seeds` are not used, and a step that is repeated samples anew.
    """

    def __init__(
        self,
        generation: VLLMGeneration,
        tokenizer: PreTrainedTokenizerBase,
        batch_size: int,
        eos: Sequence[int] | None = None,
    ):
        self.generation, self.tokenizer, self.batch_size = generation, tokenizer, batch_size
        self.eos = list(eos or [tokenizer.eos_token_id])

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        seeds: Sequence[int],
        adapters: Sequence[Path | None] | None = None,
    ) -> list[Completion]:
        """See Engine; the server's weights are the policy's own, so no adapter can be named."""
        if any(adapters or ()):
            raise ValueError("the training server has one policy and no adapters")
        settings = self.generation
        settings.max_completion_length = sampling.max_new_tokens
        settings.temperature, settings.top_p, settings.top_k = sampling.temperature, sampling.top_p, sampling.top_k
        settings.generation_kwargs = {"ignore_eos": True, "stop_token_ids": self.eos}
        rows = [list(prompt) for prompt in prompts]
        echoed, ids, logprobs, logprob_ids = settings.generate(rows, None, num_generations=1)
        if echoed != rows:
            raise RuntimeError("the vLLM server answered other prompts than it was sent")
        if logprob_ids is not None and [[first for (first, *_) in row] for row in logprob_ids] != ids:
            raise RuntimeError("the vLLM server's log-probabilities are not those of the sampled tokens")
        return [
            Completion(list(row), [first for (first, *_) in scores], "stop" if row[-1] in self.eos else "length")
            for row, scores in zip(ids, logprobs, strict=True)
        ]

    def choose(self, prompts: Sequence[Sequence[int]], choices: Sequence[int]) -> list[list[float]]:
        raise NotImplementedError("a policy in training judges nothing")
