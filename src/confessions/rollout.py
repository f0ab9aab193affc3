"""Two-turn rollouts by token ids: x -> (z, y), then xc -> (zc, yc). What is stored is exactly what was sampled."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from confessions.chat import Chat, Turn
from confessions.engines import Completion, Engine, Sampling
from confessions.errors import InputError
from confessions.prompts import confession_request
from confessions.spans import Spans
from confessions.tasks.base import Spec, Task


def stream_seed(*key: int) -> int:
    """A seed of 63 bits for the random stream named by `key`, e.g. (run seed, step, row, turn)."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)


@dataclass(frozen=True)
class Rollout:
    """One conversation. The text of every part is derived from its ids, never the other way round."""

    spec: Spec
    x: str
    xc: str
    x_ids: list[int]
    task: Completion
    xc_ids: list[int]
    confession: Completion
    answer: Turn  # z, y
    report: Turn  # zc, yc

    @property
    def spans(self) -> Spans:
        return Spans(len(self.task.ids), len(self.xc_ids), len(self.confession.ids))

    @property
    def completion_ids(self) -> list[int]:
        return self.task.ids + self.xc_ids + self.confession.ids

    @property
    def logprobs(self) -> list[float]:
        """Sampling log-probabilities along completion_ids; 0 on the request, which was not sampled."""
        return self.task.logprobs + [0.0] * len(self.xc_ids) + self.confession.logprobs

    @property
    def answer_truncated(self) -> bool:
        return self.task.finish_reason == "length"

    @property
    def report_truncated(self) -> bool:
        return self.confession.finish_reason == "length"


def two_turns(
    engine: Engine,
    chat: Chat,
    task: Task,
    specs: Sequence[Spec],
    seeds: Sequence[tuple[int, int]],
    task_sampling: Sampling,
    confession_sampling: Sampling,
    variant: str = "default",
    adapters: Sequence[Path | None] | None = None,
    progress: Callable[[int], None] = lambda n: None,
) -> list[Rollout]:
    """One rollout a spec; `seeds` holds the seeds of its two turns. `progress` is called with the number just finished.

    Both turns of a batch run before the next batch starts, so that the engine can continue turn 1's cache.
    """
    adapters = adapters or [None] * len(specs)
    rollouts: list[Rollout] = []
    for start in range(0, len(specs), engine.batch_size):
        part = slice(start, start + engine.batch_size)
        batch = specs[part]
        xs = [task.prompt(spec) for spec in batch]
        x_ids = [chat.prompt_ids([{"role": "user", "content": x}]) for x in xs]
        tasks = engine.generate(x_ids, task_sampling, [s for s, _ in seeds[part]], adapters[part])
        xcs = [confession_request(variant, task.objectives(spec)) for spec in batch]
        xc_ids = [chat.request_ids(xc, t.finish_reason == "stop") for xc, t in zip(xcs, tasks, strict=True)]
        prompts = [x + t.ids + xc for x, t, xc in zip(x_ids, tasks, xc_ids, strict=True)]
        confessions = engine.generate(prompts, confession_sampling, [s for _, s in seeds[part]], adapters[part])
        rollouts += [
            Rollout(*parts, chat.split(parts[4].ids), chat.split(parts[6].ids))
            for parts in zip(batch, xs, xcs, x_ids, tasks, xc_ids, confessions, strict=True)
        ]
        progress(len(batch))
    return rollouts


def check_lengths(chat: Chat, task: Task, specs: Sequence[Spec], variant: str, new_tokens: int, context: int) -> None:
    """Raise InputError, before anything is sampled, when the longest possible rollout cannot fit the model's
    context."""
    prompts = [chat.prompt_ids([{"role": "user", "content": task.prompt(spec)}]) for spec in specs]
    requests = [chat.request_ids(confession_request(variant, task.objectives(spec)), False) for spec in specs]
    needed = new_tokens + max(len(p) + len(r) for p, r in zip(prompts, requests, strict=True))
    if needed > context:
        raise InputError(
            f"a rollout may need {needed} tokens and the model's context is {context}: "
            "lower max_task_tokens or max_confession_tokens in config.yaml"
        )


def to_frame(rollouts: Sequence[Rollout], **columns: object) -> pd.DataFrame:
    """One row a rollout, the columns of docs/rollouts.md; `columns` are added to every row (model, adapter, step,
    …)."""
    rows = [
        {
            **columns,
            "row": row,
            "spec": json.dumps(r.spec),
            "x": r.x,
            "z": r.answer.reasoning,
            "y": r.answer.body,
            "xc": r.xc,
            "zc": r.report.reasoning,
            "yc": r.report.body,
            "x_ids": r.x_ids,
            "task_ids": r.task.ids,
            "xc_ids": r.xc_ids,
            "confession_ids": r.confession.ids,
            "task_mask": r.spans.task_mask(),
            "confession_mask": r.spans.confession_mask(),
            "answer_start": r.answer.body_start,
            "report_start": r.report.body_start,
            "task_logprobs": r.task.logprobs,
            "confession_logprobs": r.confession.logprobs,
            "task_finish": r.task.finish_reason,
            "confession_finish": r.confession.finish_reason,
            "answer_closed": r.answer.closed,
        }
        for row, r in enumerate(rollouts)
    ]
    return pd.DataFrame(rows)
