"""What our rollouts cost beyond vLLM's own generation, and what its prefix cache saves of turn 2.

    python benchmarks/vllm_overhead.py MODEL [--rollouts 64] [--tokens 128] [--rounds 3] [--dtype float32]

MODEL is the folder of a chat model. One vLLM serves both ways, which take turns, its prefix cache emptied before each:
ours is `two_turns`, from the specs of the task to finished rollouts; bare is `LLM.generate` on the token prompts that
ours handed over, with the same limits, sampling and seeds. That both sampled the same tokens is checked. Printed are
the medians over pairs: tokens a second of ours over bare (goal: at least 0.95); turn 2's prompt tokens that were
computed although turn 1 had computed them, by vLLM's counters (goal: at most 10 %); and the seconds that writing and
scoring the rollouts take over those of generating them (goal: at most 3 %).
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from confessions.config import Vllm
from confessions.engines import Sampling, start
from confessions.engines.vllm import VllmEngine
from confessions.models import loading
from confessions.models.chat import Chat
from confessions.rollouts.two_turns import Asked, Rollout, stream_seed, to_frame, two_turns
from confessions.scoring.scores import score_frame
from confessions.tasks import get as get_task


class Recorder(VllmEngine):
    """Keeps what was asked of it, and its cache's counts before and after."""

    calls: list[tuple]

    def generate(self, prompts, sampling, seeds, adapters=None):
        before = self.cache()
        done = super().generate(prompts, sampling, seeds, adapters)
        self.calls.append((prompts, sampling, seeds, before, self.cache()))
        return done

    def cache(self) -> tuple[int, int]:
        """Prompt tokens since the start that were looked up in the cache, and those found there, by vLLM's counters."""
        counts = {metric.name: metric.value for metric in self.llm.get_metrics() if hasattr(metric, "value")}
        return counts["vllm:prefix_cache_queries"], counts["vllm:prefix_cache_hits"]


def bare(engine: Recorder) -> list[list[int]]:
    """The recorded calls, made of vLLM directly."""
    from vllm import SamplingParams

    sampled = []
    for prompts, sampling, seeds, *_ in engine.calls:
        params = [
            SamplingParams(
                max_tokens=sampling.max_new_tokens,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                top_k=sampling.top_k,
                seed=seed,
                logprobs=0,
                flat_logprobs=True,
                detokenize=False,
                ignore_eos=True,
                stop_token_ids=engine.eos,
            )
            for seed in seeds
        ]
        outputs = engine.llm.generate([{"prompt_token_ids": p} for p in prompts], params, use_tqdm=False)
        sampled += [list(output.outputs[0].token_ids) for output in outputs]
    return sampled


def timed(engine: VllmEngine, work: Callable[[], list]) -> tuple[float, list]:
    engine.llm.reset_prefix_cache()
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def recomputed(engine: Recorder, rollouts: list[Rollout]) -> float:
    """Part of what turn 2 shares with turn 1 that was not found in the cache."""
    *_, before, after = engine.calls[1]
    return 1 - (after[1] - before[1]) / sum(len(r.x_ids) + len(r.task.ids) for r in rollouts)


def write_and_score(rollouts: list[Rollout]) -> float:
    """Seconds."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        frame = to_frame(rollouts, task="word_count")
        frame.to_parquet(Path(folder) / "rollouts.parquet", index=False)
        score_frame(frame).to_parquet(Path(folder) / "scores.parquet", index=False)
    return time.perf_counter() - began


def line(name: str, values: list[float], goal: str, met: bool) -> bool:
    verdict = f"goal {goal}: {'met' if met else 'MISSED'}"
    print(f"{name:28} {statistics.median(values):8.4f}   {min(values):.4f} to {max(values):.4f}   {verdict}")
    return met


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a chat model")
    parser.add_argument("--rollouts", type=int, default=64, help="in one batch")
    parser.add_argument("--tokens", type=int, default=128, help="limit of each turn")
    parser.add_argument("--rounds", type=int, default=3, help="pairs, whose order takes turns")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--eager", action="store_true", help="no compilation")
    options = parser.parse_args()

    tokenizer, task = loading.load_tokenizer(options.model), get_task("word_count")
    chat, turn = Chat(tokenizer, thinking=False), Sampling(options.tokens)
    settings = {"kind": "vllm"} | Vllm(max_model_len=2048, enforce_eager=options.eager, cpu_cache_gib=3.0).model_dump()
    began = time.perf_counter()
    started = start(settings, options.model, options.dtype, tokenizer)
    print(f"engine start: {time.perf_counter() - began:.1f} s", flush=True)
    engine = Recorder(started.llm, tokenizer, options.rollouts)
    every = task.specs("evaluation")
    specs = [every[row % len(every)] for row in range(options.rollouts)]
    seeds = [(stream_seed(0, row, 1), stream_seed(0, row, 2)) for row in range(options.rollouts)]

    def ours() -> list[Rollout]:
        engine.calls = []
        return two_turns(engine, chat, task, [*map(Asked, specs, seeds)], turn, turn)

    def bare_calls() -> list[list[int]]:
        return bare(engine)

    ratios, again, overheads, speeds = [], [], [], []
    timed(engine, ours)  # warms up, and leaves the calls that `bare` repeats
    for number in range(options.rounds):
        pair = {}
        for way in (ours, bare_calls) if number % 2 else (bare_calls, ours):
            pair[way] = timed(engine, way)
        (mine, rollouts), (theirs, sampled) = pair[ours], pair[bare_calls]
        if sampled != [r.task.ids for r in rollouts] + [r.confession.ids for r in rollouts]:
            sys.exit("error: the two ways did not sample the same tokens")
        n_tokens = sum(map(len, sampled))
        again.append(recomputed(engine, rollouts))
        ratios.append(theirs / mine)
        overheads.append(write_and_score(rollouts) / mine)
        speeds.append(n_tokens / mine)
        print(f"{n_tokens} tokens: ours {mine:.2f} s, bare {theirs:.2f} s", flush=True)
    speed = statistics.median(speeds)
    print(f"{options.rollouts} rollouts, {speed:.0f} tokens/s; medians and ranges of {options.rounds} pairs")
    goals = [
        line("tokens/s, ours over bare", ratios, ">= 0.95", statistics.median(ratios) >= 0.95),
        line("shared prefix computed again", again, "<= 0.10", statistics.median(again) <= 0.10),
        line("writing and scoring", overheads, "<= 0.03", statistics.median(overheads) <= 0.03),
    ]
    sys.exit(not all(goals))


if __name__ == "__main__":
    main()
