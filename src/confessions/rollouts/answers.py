"""Answers alone, without confessions: several to each instance of a task, with what is true of them. They can be kept
in a file, and confessed later by any policy."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence

import pandas as pd

from confessions.engines import Completion, Engine, Sampling
from confessions.models.chat import Chat, Turn
from confessions.rollouts.two_turns import opening, stream_seed
from confessions.runtime.errors import InputError
from confessions.runtime.files import read_parquet
from confessions.tasks.base import Spec, Split, Task, Truth

WORDS = {"train": "training", "evaluation": "evaluation"}


def sample(
    engine: Engine,
    chat: Chat,
    task: Task,
    specs: Sequence[Spec],
    n: int,
    sampling: Sampling,
    seed: int,
    progress: Callable[[int], None] = lambda n: None,
    **columns: object,
) -> pd.DataFrame:
    """A row for each of `n` answers to each spec, samples innermost; `columns` are added to every row.

    The columns of a rollout's first turn (docs/rollouts.md), `instance` (the place of its spec) and `sample`, and the
    truth: `kinds` and `met` (S,), `exact_compliance`, `hacked`, `n_false_labels`, `believed` (by the weak grader), and
    the task's own details.
    """
    rows = [(instance, number) for instance in range(len(specs)) for number in range(n)]
    seeds = [stream_seed(seed, *row) for row in rows]
    prompts = [chat.prompt_ids(opening(task, spec)) for spec in specs]
    sampled = []
    for start in range(0, len(rows), engine.batch_size):
        batch = slice(start, start + engine.batch_size)
        found = engine.generate([prompts[instance] for instance, _ in rows[batch]], sampling, seeds[batch])
        progress(len(found))
        sampled += found
    asked, turns = [specs[instance] for instance, _ in rows], [chat.split(answer.ids) for answer in sampled]
    texts = [turn.body for turn in turns]
    truths, beliefs = task.verify_all(asked, texts), task.believes_all(asked, texts)
    return pd.DataFrame(
        {**columns, "task": task.name, "instance": instance, "sample": number, "seed": seed}
        | _said(task, specs[instance], prompts[instance], answer, turn)
        | _true(task, specs[instance], truth, believed)
        for (instance, number), seed, answer, turn, truth, believed in zip(
            rows, seeds, sampled, turns, truths, beliefs, strict=True
        )
    )


def _said(task: Task, spec: Spec, x_ids: list[int], answer: Completion, turn: Turn) -> dict[str, object]:
    return {
        "spec": json.dumps(spec),
        "x": task.prompt(spec),
        "z": turn.reasoning,
        "y": turn.body,
        "x_ids": x_ids,
        "task_ids": answer.ids,
        "task_logprobs": answer.logprobs,
        "task_finish": answer.finish_reason,
        "answer_start": turn.body_start,
        "answer_closed": turn.closed,
    }


def _true(task: Task, spec: Spec, truth: Truth, believed: bool | None) -> dict[str, object]:
    return {
        "kinds": task.kinds(spec),
        "met": list(truth.met),
        "exact_compliance": truth.compliant,
        "hacked": truth.hacked,
        "n_false_labels": truth.n_false_labels,
        "believed": believed,
        "not_known": truth.not_known,
        **truth.details,
    }


def stored(file: str, task: Task, split: Split) -> pd.DataFrame:
    """The answers to `task` in a file of them (a column `split`, where there is one, says whose), of which everything
    is known; `spec` as a mapping.

    Raises InputError where there is none, and where the truth in the file is not what the task finds now.
    """
    lists = ("x_ids", "task_ids", "met", "kinds")
    table = read_parquet(file, lists, texts=("y", "task", "task_finish"), objects=("spec",))
    asked = table["split"] == split if "split" in table else True
    table = table[(table["task"] == task.name) & asked & (table["not_known"] == "")]
    if table.empty:
        raise InputError(f"{file}: no answers of {WORDS[split]} to {task.name}: sample some with confessions calibrate")
    table = table.assign(spec=table["spec"].map(json.loads))
    for row, truth in zip(table.itertuples(), task.verify_all(table["spec"], table["y"]), strict=True):
        if [*truth.met] != (met := row.met.tolist()):
            raise InputError(
                f"{file}: row {row.Index + 1}: stored as met are {met}, and now {[*truth.met]}: another version "
                "of the task graded it; sample again with confessions calibrate"
            )
    return table


def completions(table: pd.DataFrame) -> list[Completion]:
    """Turn 1 of each row of `stored`. Its log-probabilities are another policy's: nothing reads them (NaN)."""
    turns = zip(table["task_ids"], table["task_finish"], strict=True)
    return [Completion([*map(int, ids)], [math.nan] * len(ids), finish) for ids, finish in turns]
