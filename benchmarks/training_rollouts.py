"""What it costs to keep a training step: milliseconds and bytes, for rollouts of a real model's size.

    python benchmarks/training_rollouts.py [--rollouts 64] [--tokens 740] [--vocabulary 152000] [--steps 20]

Texts are those of the embedded model's corpus, cut or repeated to four characters a token; ids follow Zipf's law, and
log-probabilities are float32 drawn at random, which nothing compresses. The folder is the current one's disk.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from confessions.engines import Completion
from confessions.models.chat import Turn
from confessions.nano.recipe import corpus_texts
from confessions.rollouts.two_turns import Rollout, columns_of
from confessions.scoring.scores import score_rollout
from confessions.tasks import get as get_task
from confessions.training.callbacks import RolloutKeeper
from confessions.training.kept_rollouts import EARNED, step_file, with_details

CHARACTERS = 4  # a token


def rollouts(n: int, tokens: int, vocabulary: int, rng: np.random.Generator) -> list[Rollout]:
    """Prompt, answer, request and report have 20, 25, 15 and 40 % of the tokens."""
    task, corpus = get_task("word_count"), "\n".join(corpus_texts())
    specs, made = task.specs("train"), []

    def ids(share: float) -> list[int]:
        return np.minimum(rng.zipf(1.2, round(share * tokens)), vocabulary - 1).tolist()

    def text(share: float) -> str:
        length = round(share * tokens * CHARACTERS)
        start = rng.integers(len(corpus) - length)
        return corpus[start : start + length]

    def turn(share: float) -> tuple[Completion, Turn]:
        found = ids(share)
        logprobs = (-rng.exponential(0.5, len(found))).astype(np.float32).tolist()
        return Completion(found, logprobs, "stop"), Turn(text(share / 3), text(2 * share / 3), 0, True)

    for row in range(n):
        spec, (first, answer), (second, report) = specs[row % len(specs)], turn(0.25), turn(0.4)
        x, xc = text(0.2), text(0.15)
        made.append(Rollout(spec, "baseline", "default", x, xc, ids(0.2), first, ids(0.15), second, answer, report))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("rollouts", 64), ("tokens", 740), ("vocabulary", 152_000), ("steps", 20)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    rng, task = np.random.default_rng(0), get_task("word_count")
    sampled = rollouts(options.rollouts, options.tokens, options.vocabulary, rng)
    scores = [score_rollout(task, r.spec, r.answer.body, r.report.body, r.report.reasoning) for r in sampled]
    sampling = {"temperature": 1.0, "top_p": 1.0, "top_k": 0}
    named = {"task": "word_count", "model": "m", "training_seed": 0, "config_hash": "0" * 12} | sampling
    judged = {"judge": "label_trusting", "judge_prompt": None, "judge_pass": True}
    judged |= {"judge_p_pass": None, "judge_mass": None, "not_known": None}
    with tempfile.TemporaryDirectory(dir=".") as folder:
        files = {step: step_file(Path(folder), step) for step in range(1, options.steps + 1)}
        keeper = RolloutKeeper(Path(folder), files, named)
        milliseconds, busy = [], []
        for step in files:
            start, cpu = time.perf_counter(), time.process_time()
            rows = [
                columns_of(rollout)
                | with_details(score | judged)
                | {"row": row, "group": row // 8, "seed": row}
                | dict.fromkeys(EARNED, 0.5)
                for row, (rollout, score) in enumerate(zip(sampled, scores, strict=True))
            ]
            keeper.write(step, rows)
            milliseconds.append(1000 * (time.perf_counter() - start))
            busy.append(1000 * (time.process_time() - cpu))
        size = files[1].stat().st_size
    lengths = [len(r.x_ids) + len(r.completion_ids) for r in sampled]
    print(
        json.dumps(
            {
                "rollouts": options.rollouts,
                "tokens": sum(lengths) / len(lengths),
                "ms a step, median": round(statistics.median(milliseconds), 1),
                "ms a step, most": round(max(milliseconds), 1),
                "ms of CPU time a step, median": round(statistics.median(busy), 1),
                "bytes a rollout": round(size / options.rollouts),
                "bytes a token": round(size / sum(lengths), 2),
            }
        )
    )


if __name__ == "__main__":
    main()
