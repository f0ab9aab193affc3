"""Two-turn rollouts by token ids: x -> (z, y), then xc -> (zc, yc). What is stored is exactly what was sampled."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from confessions.config import REFERENCE
from confessions.engines import Completion, Engine, Sampling
from confessions.engines.endpoint import Reply
from confessions.models.chat import Chat, Turn
from confessions.rollouts.spans import Spans
from confessions.runtime.errors import InputError
from confessions.tasks.base import Spec, Task, opening
from confessions.tasks.conversation import Conversation


def stream_seed(*key: int) -> int:
    """A seed of 63 bits for the random stream named by `key`, e.g. (run seed, step, row, turn)."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)


BASELINE, DEFAULT = REFERENCE.values()


@dataclass(frozen=True)
class Rollout:
    """One conversation. The text of every part is derived from its ids, never the other way round."""

    spec: Spec
    condition: str
    variant: str
    x: str
    xc: str
    x_ids: list[int]
    task: Completion
    xc_ids: list[int]
    confession: Completion
    answer: Turn  # z, y
    report: Turn  # zc, yc
    keep_thinking: bool = True  # False: turn 2 was sampled without z in its prompt (Chat.context)
    stored: bool = False  # turn 1 belongs to no span: it was sampled before, or the rollout before has the same one

    @property
    def texts(self) -> Conversation:
        return Conversation(
            self.spec,
            y=self.answer.body,
            yc=self.report.body,
            zc=self.report.reasoning,
            z=self.answer.reasoning,
            x=self.x,
            xc=self.xc,
            answer_truncated=self.answer_truncated,
            confession_truncated=self.report_truncated,
            variant=self.variant,
        )

    @property
    def spans(self) -> Spans:
        n_task, n_request, n_confession = map(len, (self.task.ids, self.xc_ids, self.confession.ids))
        return Spans(0, n_task + n_request, n_confession) if self.stored else Spans(n_task, n_request, n_confession)

    @property
    def completion_ids(self) -> list[int]:
        return self.task.ids + self.xc_ids + self.confession.ids

    @property
    def logprobs(self) -> list[float]:
        """Log-probabilities along completion_ids when they were sampled; 0 on the request, which was not,
        and on a stored answer."""
        task = [0.0] * len(self.task.ids) if self.stored else self.task.logprobs
        return task + [0.0] * len(self.xc_ids) + self.confession.logprobs

    @property
    def answer_truncated(self) -> bool:
        return self.task.finish_reason == "length"

    @property
    def report_truncated(self) -> bool:
        return self.confession.finish_reason == "length"


@dataclass(frozen=True)
class Asked:
    """What a rollout begins with."""

    spec: Spec
    seeds: tuple[int, ...]  # of turn 1, and of each confession of it that is asked for: one, or as many in all rows
    condition: str = BASELINE
    adapter: Path | None = None
    answer: Completion | Reply | None = None  # turn 1 where it is not sampled: an answer that was sampled before


def two_turns(
    engine: Engine,
    chat: Chat,
    task: Task,
    asked: Sequence[Asked],
    task_sampling: Sampling,
    confession_sampling: Sampling,
    variants: Sequence[str] = (DEFAULT,),
    progress: Callable[[int], None] = lambda n: None,
    part: Callable[[str], AbstractContextManager[None]] = lambda name: nullcontext(),
) -> list[Rollout]:
    """A rollout for each of `asked`, each variant and each confession asked for, confessions innermost.

    Turn 1 is sampled once, and every variant asks about that very answer, with the same seed. Of several confessions of
    an answer the first rollout alone has turn 1 for a span. Both turns of a batch run before the next batch starts, so
    that the engine can continue turn 1's cache. `progress` is called with the number
    of rollouts just finished; each turn is sampled in the context `part("turn1")` or `part("turn2")`.
    """
    rollouts: list[Rollout] = []
    size = max(1, engine.batch_size // (len(variants) * max((len(row.seeds) - 1 for row in asked), default=1)))
    for start in range(0, len(asked), size):
        batch = asked[start : start + size]
        with part("turn1"):
            x_ids, answers = first_turn(engine, chat, task, batch, task_sampling)
        turns = [
            (i, v, nth, xc, *chat.follow_up(x_ids[i], answers[i].ids, xc))
            for i, row in enumerate(batch)
            for v in variants
            for xc in [task.request(row.spec, v)]
            for nth in range(1, len(row.seeds))
        ]
        with part("turn2"):
            reports = engine.generate(
                [context + xc_ids for *_, context, xc_ids in turns],
                confession_sampling,
                [batch[i].seeds[nth] for i, _, nth, *_ in turns],
                [batch[i].adapter for i, *_ in turns],
            )
        rollouts += [
            Rollout(
                spec=batch[i].spec,
                condition=batch[i].condition,
                variant=variant,
                x=task.prompt(batch[i].spec),
                xc=xc,
                x_ids=x_ids[i],
                task=answers[i],
                xc_ids=xc_ids,
                confession=report,
                answer=chat.split(answers[i].ids),
                report=chat.split(report.ids),
                keep_thinking=chat.keep_thinking,
                stored=batch[i].answer is not None or nth > 1,
            )
            for (i, variant, nth, xc, _, xc_ids), report in zip(turns, reports, strict=True)
        ]
        progress(len(turns))
    return rollouts


def first_turn(
    engine: Engine, chat: Chat, task: Task, asked: Sequence[Asked], sampling: Sampling
) -> tuple[list[list[int]], list[Completion]]:
    """The ids of each prompt, and turn 1: the answer that the row brings along, or a sampled one."""
    x_ids = [chat.prompt_ids(opening(task, row.spec, row.condition)) for row in asked]
    rows = [i for i, row in enumerate(asked) if row.answer is None]
    sampled: list[Completion] = []
    if rows:
        seeds, adapters = ([*each] for each in zip(*((asked[i].seeds[0], asked[i].adapter) for i in rows), strict=True))
        sampled = engine.generate([x_ids[i] for i in rows], sampling, seeds, adapters)
    rest = iter(sampled)
    return x_ids, [row.answer or next(rest) for row in asked]


def check_lengths(
    chat: Chat,
    task: Task,
    specs: Sequence[Spec],
    new_tokens: int,
    context: int,
    conditions: Sequence[str] = (BASELINE,),
    variants: Sequence[str] = (DEFAULT,),
) -> int:
    """The tokens of the longest possible rollout. Raises InputError, before anything is sampled, when it cannot fit
    the model's context."""

    def longest(spec: Spec) -> int:
        prompts = [chat.prompt_ids(opening(task, spec, condition)) for condition in conditions]
        requests = [chat.request_ids(task.request(spec, variant), False) for variant in variants]
        return max(map(len, prompts)) + max(map(len, requests))

    needed = new_tokens + max(map(longest, specs))
    if needed > context:
        raise InputError(
            f"a rollout may need {needed} tokens and the model's context is {context}: "
            "lower max_task_tokens or max_confession_tokens in config.yaml"
        )
    return needed


def columns_of(r: Rollout) -> dict[str, object]:
    """What a rollout itself says, as columns of docs/rollouts.md."""
    return {
        "condition": r.condition,
        "variant": r.variant,
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
        "keep_thinking": r.keep_thinking,
    }


def to_frame(rollouts: Sequence[Rollout | Mapping[str, object]], **columns: object) -> pd.DataFrame:
    """One row a rollout, or what `columns_of` would say of it, numbered in order, the columns of docs/rollouts.md;
    `columns` are added to every row (model, adapter, step, …)."""
    said = [r if isinstance(r, Mapping) else columns_of(r) for r in rollouts]
    return pd.DataFrame([{**columns, "row": row, **r} for row, r in enumerate(said)])
