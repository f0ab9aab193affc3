"""Answers alone, without confessions: several to each instance of a task, with what is true of them. They can be kept
in a file, and confessed later by any policy."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from confessions.engines import Completion, Engine, Sampling
from confessions.models.chat import Chat, Turn
from confessions.rollouts.two_turns import opening, stream_seed
from confessions.runtime.errors import InputError
from confessions.runtime.files import read_parquet
from confessions.tasks.base import PlantsFaults, Spec, Split, Task, Truth

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


def with_met_share(table: pd.DataFrame, n: int, share: float, seed: int) -> pd.DataFrame:
    """`n` of the answers of `stored`, in their order, of whose objectives `share` is met, to the nearest objective.
    They are drawn by `seed`; then one at a time changes places with one that was not drawn, as chance has it, until the
    share is right.

    Raises InputError, without the file's name, where there are no such.
    """
    met, of = (table["met"].map(count).to_numpy(dtype=float) for count in (sum, len))
    rng = np.random.default_rng([seed, round(1e6 * share)])
    order = rng.permutation(len(table))
    drawn, rest = order[:n], order[n:]
    surplus = met - share * of  # of each answer, in objectives
    if len(drawn) == n:
        while len(better := _improving(surplus[drawn], surplus[rest])):
            i, j = better[rng.integers(len(better))]
            drawn[i], rest[j] = rest[j], drawn[i]
    if len(drawn) < n or abs(surplus[drawn].sum()) > 0.5 + 1e-9:
        raise InputError(f"of its {len(table)} answers no {n} have {share:.0%} of their objectives met: lower rollouts")
    return table.iloc[np.sort(drawn)]


def _improving(drawn: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """(M, 2) pairs of places, in both arrays of surplus, whose exchange brings the sum of `drawn` nearer to 0. None
    where it is within half an objective."""
    gap = drawn.sum()
    if abs(gap) <= 0.5 + 1e-9:
        return np.empty((0, 2), dtype=int)
    after = gap + rest[None, :] - drawn[:, None]
    return np.argwhere(np.abs(after) < abs(gap) - 1e-9)


def with_one_fault(table: pd.DataFrame, task: PlantsFaults, n: int, seed: int) -> pd.DataFrame:
    """The first `n` answers of `stored` that have an instance of which they miss exactly one objective, with that
    instance as `spec`. What an answer is asked for does not depend on the others.

    Raises InputError, without the file's name, where there are too few.
    """
    kept, specs = [], []
    for place, row in enumerate(table.itertuples()):
        if len(kept) == n:
            break
        spec = task.with_one_fault(row.spec, row.y, random.Random(f"{seed} {json.dumps(row.spec)} {row.y}"))
        if spec is not None:
            kept.append(place)
            specs.append(spec)
    if len(kept) < n:
        raise InputError(
            f"{len(kept)} of its {len(table)} answers can miss exactly one objective, not {n}: lower rollouts"
        )
    return table.iloc[kept].assign(spec=specs)


def completions(table: pd.DataFrame) -> list[Completion]:
    """Turn 1 of each row of `stored`. Its log-probabilities are another policy's: nothing reads them (NaN)."""
    turns = zip(table["task_ids"], table["task_finish"], strict=True)
    return [Completion([*map(int, ids)], [math.nan] * len(ids), finish) for ids, finish in turns]
