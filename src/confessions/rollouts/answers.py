"""Answers alone, without confessions: several to each instance of a task, with what is true of them; and such a file
read back, for confessions about answers that do not change."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from confessions.engines import Engine, Sampling
from confessions.models.chat import Chat
from confessions.rollouts.two_turns import opening, stream_seed
from confessions.runtime.errors import InputError
from confessions.runtime.files import read_parquet
from confessions.tasks.base import Spec, Task

STORED = ("task", "spec", "task_ids", "task_finish")


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
    return pd.DataFrame(
        {
            **columns,
            "task": task.name,
            "instance": instance,
            "sample": number,
            "seed": seed,
            "spec": json.dumps(spec),
            "x": task.prompt(spec),
            "z": turn.reasoning,
            "y": turn.body,
            "x_ids": prompts[instance],
            "task_ids": answer.ids,
            "task_logprobs": answer.logprobs,
            "task_finish": answer.finish_reason,
            "answer_start": turn.body_start,
            "answer_closed": turn.closed,
            "kinds": task.kinds(spec),
            "met": list(truth.met),
            "exact_compliance": truth.compliant,
            "hacked": truth.hacked,
            "n_false_labels": truth.n_false_labels,
            "believed": believed,
            "not_known": truth.not_known,
            **truth.details,
        }
        for (instance, number), seed, spec, answer, turn, truth, believed in zip(
            rows,
            seeds,
            asked,
            sampled,
            turns,
            task.verify_all(asked, texts),
            task.believes_all(asked, texts),
            strict=True,
        )
    )


def stored(file: Path, task: Task, n: int) -> pd.DataFrame:
    """The first `n` held-out answers of a file to this task (a column `split` says which are), numbered from 0. Raises
    InputError where there is no such file, or it has fewer."""
    frame = read_parquet(file, STORED, objects=("spec",))
    held_out = frame["split"] == "evaluation" if "split" in frame else True
    found = frame[(frame["task"] == task.name) & held_out]
    if len(found) < n:
        tasks = ", ".join(sorted(set(frame["task"]))) or "no task"
        raise InputError(
            f"{file}: {len(found)} held-out answers to {task.name}, and a probe asks about {n}: lower its `rollouts`, "
            f"or name another file; this one holds {len(frame)} answers to {tasks}"
        )
    return found[:n].reset_index(drop=True)
