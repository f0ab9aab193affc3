"""Two-turn rollouts by token ids: x -> (z, y), then xc -> (zc, yc). What is stored is exactly what was sampled."""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from confessions.config import REFERENCE
from confessions.engines import Completion, Engine, Sampling
from confessions.models.chat import Chat, Turn
from confessions.prompts import confession_request, system_prompt
from confessions.rollouts.spans import Spans
from confessions.runtime.errors import InputError
from confessions.tasks.base import Spec, Task
from confessions.tasks.conversation import Conversation


def stream_seed(*key: int) -> int:
    """A seed of 63 bits for the random stream named by `key`, e.g. (run seed, step, row, turn)."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)


BASELINE, DEFAULT = REFERENCE.values()


def opening(task: Task, spec: Spec, condition: str = BASELINE) -> list[dict[str, str]]:
    """The messages before turn 1: the condition's system prompt, where it has one, and x."""
    system = system_prompt(condition)
    messages = [{"role": "system", "content": system}] if system else []
    return [*messages, {"role": "user", "content": task.prompt(spec)}]


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
    conditions: Sequence[str] | None = None,
    variants: Sequence[str] = (DEFAULT,),
    adapters: Sequence[Path | None] | None = None,
    progress: Callable[[int], None] = lambda n: None,
    part: Callable[[str], AbstractContextManager[None]] = lambda name: nullcontext(),
) -> list[Rollout]:
    """A rollout for each spec and variant, variants innermost; `conditions` and `adapters` hold one entry a spec.

    `seeds` holds the seeds of the two turns: the same for each variant, so turn 1 is sampled once and every variant
    asks about that very answer. Both turns of a batch run before the next batch starts, so that the engine can
    continue turn 1's cache. `progress` is called with the number of rollouts just finished; each turn is sampled in
    the context `part("turn1")` or `part("turn2")`.
    """
    adapters = adapters or [None] * len(specs)
    conditions = conditions or [BASELINE] * len(specs)
    rollouts: list[Rollout] = []
    size = max(1, engine.batch_size // len(variants))
    for start in range(0, len(specs), size):
        rows = slice(start, start + size)
        batch = specs[rows]
        x_ids = [chat.prompt_ids(opening(task, *pair)) for pair in zip(batch, conditions[rows], strict=True)]
        with part("turn1"):
            answers = engine.generate(x_ids, task_sampling, [first for first, _ in seeds[rows]], adapters[rows])
        asked = [(i, v, confession_request(v, task.objectives(batch[i]))) for i in range(len(batch)) for v in variants]
        contexts, xc_ids = zip(*(chat.follow_up(x_ids[i], answers[i].ids, xc) for i, _, xc in asked), strict=True)
        with part("turn2"):
            reports = engine.generate(
                [context + xc for context, xc in zip(contexts, xc_ids, strict=True)],
                confession_sampling,
                [seeds[start + i][1] for i, _, _ in asked],
                [adapters[start + i] for i, _, _ in asked],
            )
        rollouts += [
            Rollout(
                spec=batch[i],
                condition=conditions[start + i],
                variant=variant,
                x=task.prompt(batch[i]),
                xc=xc,
                x_ids=x_ids[i],
                task=answers[i],
                xc_ids=ids,
                confession=report,
                answer=chat.split(answers[i].ids),
                report=chat.split(report.ids),
                keep_thinking=chat.keep_thinking,
            )
            for (i, variant, xc), ids, report in zip(asked, xc_ids, reports, strict=True)
        ]
        progress(len(asked))
    return rollouts


def replaced_answers(
    engine: Engine,
    chat: Chat,
    rollouts: Sequence[Rollout],
    seeds: Sequence[int],
    sampling: Sampling,
    adapters: Sequence[Path | None] | None = None,
) -> list[Rollout]:
    """The rollouts with another attempt at the same prompt, reasoning and all, in place of the answer, and with a fresh
    confession, which is about that attempt. In order; `seeds` (turn 2's) and `adapters` hold one entry a rollout.

    The attempt is the one of the next rollout with the same prompt and variant, of the last one the first's. Raises
    InputError where a prompt has one attempt only.
    """
    adapters = adapters or [None] * len(rollouts)
    attempts: dict[tuple[tuple[int, ...], str], list[int]] = {}
    for i, r in enumerate(rollouts):
        attempts.setdefault((tuple(r.x_ids), r.variant), []).append(i)
    if alone := [rows[0] for rows in attempts.values() if len(rows) == 1]:
        raise InputError(
            f"rollout {alone[0] + 1}: the only attempt at its prompt, so none can stand in for it: raise "
            "evaluation.rollouts until each prompt is sampled twice"
        )
    following = {row: after for rows in attempts.values() for row, after in zip(rows, rows[1:] + rows[:1], strict=True)}
    taken = [rollouts[following[i]] for i in range(len(rollouts))]
    replaced: list[Rollout] = []
    for start in range(0, len(rollouts), engine.batch_size):
        rows = slice(start, start + engine.batch_size)
        asked = list(zip(rollouts[rows], taken[rows], strict=True))
        contexts, xc_ids = zip(*(chat.follow_up(r.x_ids, other.task.ids, r.xc) for r, other in asked), strict=True)
        prompts = [context + xc for context, xc in zip(contexts, xc_ids, strict=True)]
        reports = engine.generate(prompts, sampling, list(seeds[rows]), list(adapters[rows]))
        replaced += [
            replace(
                r, task=other.task, answer=other.answer, xc_ids=ids, confession=report, report=chat.split(report.ids)
            )
            for (r, other), ids, report in zip(asked, xc_ids, reports, strict=True)
        ]
    return replaced


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
        objectives = task.objectives(spec)
        requests = [chat.request_ids(confession_request(variant, objectives), False) for variant in variants]
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


def to_frame(rollouts: Sequence[Rollout], **columns: object) -> pd.DataFrame:
    """One row a rollout, numbered in order, the columns of docs/rollouts.md; `columns` are added to every row (model,
    adapter, step, …)."""
    return pd.DataFrame([{**columns, "row": row, **columns_of(r)} for row, r in enumerate(rollouts)])
