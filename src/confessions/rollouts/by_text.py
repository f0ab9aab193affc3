"""Two-turn rollouts of a model that is asked by messages: x -> (z, y), then xc -> (zc, yc), in one conversation.

What is stored is what the endpoint says. It shows no token ids, so there are no masks and no log-probabilities of them.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import pandas as pd

from confessions.config import Sampling
from confessions.engines.endpoint import Endpoint, Reply
from confessions.rollouts.two_turns import Asked, opening
from confessions.tasks.base import Task

UNKNOWN = (  # columns of docs/rollouts.md that are null
    "x_ids", "task_ids", "xc_ids", "confession_ids", "task_mask", "confession_mask", "answer_start", "report_start",
    "task_logprobs", "confession_logprobs",
)  # fmt: skip


def settings(limit: int, sampling: Sampling | None, seed: int) -> dict[str, Any]:
    """How one turn is sampled, as Inspect's GenerateConfig has it; without `sampling` as the endpoint does by itself.
    A filter that is off is not named: some endpoints refuse its name. Of the seed are the upper 31 bits, which every
    endpoint that has seeds takes."""
    known: dict[str, Any] = {"max_tokens": limit, "seed": seed >> 32}
    if sampling:
        known["temperature"] = sampling.temperature
        known |= {"top_p": sampling.top_p} if sampling.top_p < 1 else {}
        known |= {"top_k": sampling.top_k} if sampling.top_k else {}
    return known


def stored(table: pd.DataFrame) -> list[Reply]:
    """Turn 1 of each row of `answers.stored`: y alone, since the reasoning before it is another model's."""
    return [Reply(y, finish_reason=finish) for y, finish in zip(table["y"], table["task_finish"], strict=True)]


def first_turn(
    endpoint: Endpoint, task: Task, asked: Sequence[Asked], limit: int, sampling: Sampling | None
) -> list[Reply]:
    """The answer that a row brings along, or a sampled one."""
    new = [row for row in asked if row.answer is None]
    replies = endpoint.generate(
        [opening(task, row.spec, row.condition) for row in new],
        [settings(limit, sampling, row.seeds[0]) for row in new],
    )
    rest = iter(replies)
    return [row.answer or next(rest) for row in asked]


def two_turns(
    endpoint: Endpoint,
    task: Task,
    asked: Sequence[Asked],
    limits: tuple[int, int],
    sampling: Sampling | None,
    variants: Sequence[str],
    keep_thinking: bool = True,
    progress: Callable[[int], None] = lambda n: None,
) -> list[dict[str, Any]]:
    """A row, with the columns of `two_turns.columns_of`, for each of `asked` and each variant, variants innermost.

    Turn 1 is sampled once, and every variant asks about that very answer, with the same seed. Without `keep_thinking`
    turn 2 does not see its reasoning. Raises EndpointError where a reply cannot be had.
    """
    answers = first_turn(endpoint, task, asked, limits[0], sampling)
    turns = [
        (row, answer, variant, task.request(row.spec, variant))
        for (row, answer), variant in product(zip(asked, answers, strict=True), variants)
    ]
    history = {"reasoning_history": "all" if keep_thinking else "none"}
    reports = endpoint.generate(
        [
            [*opening(task, row.spec, row.condition), answer, {"role": "user", "content": xc}]
            for row, answer, _, xc in turns
        ],
        [settings(limits[1], sampling, row.seeds[1]) | history for row, *_ in turns],
        progress,
    )
    return [_columns(task, *turn, report, keep_thinking) for turn, report in zip(turns, reports, strict=True)]


def _columns(
    task: Task, row: Asked, answer: Reply, variant: str, xc: str, report: Reply, keep_thinking: bool
) -> Mapping[str, Any]:
    return {
        "condition": row.condition,
        "variant": variant,
        "spec": json.dumps(row.spec),
        "x": task.prompt(row.spec),
        "z": answer.reasoning,
        "y": answer.text,
        "xc": xc,
        "zc": report.reasoning,
        "yc": report.text,
        "task_finish": answer.finish_reason,
        "confession_finish": report.finish_reason,
        "answer_closed": True,
        "keep_thinking": keep_thinking,
    } | dict.fromkeys(UNKNOWN)
