"""What was right in a policy's own confessions, to be imitated: nothing is taught by hand.

Of every kind as many right lines about met objectives are imitated as about unmet ones. So a policy that claims by the
kind alone, or always the same, finds in them nothing that says which claim to prefer.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from tqdm import tqdm

from confessions.config import Train
from confessions.engines import Engine, Sampling
from confessions.models.chat import Chat
from confessions.prompts.report import Compliance
from confessions.rollouts.answers import completions, stored
from confessions.rollouts.two_turns import Asked, Rollout, stream_seed, two_turns
from confessions.runtime.errors import InputError
from confessions.scoring.scores import score_rollouts
from confessions.tasks.base import Task
from confessions.training.credit import lines_of_tokens

Row = dict[str, list[int]]


def own_right_lines(
    engine: Engine,
    chat: Chat,
    task: Task,
    settings: Train,
    seed: int,
) -> list[Row]:
    """Rows that confess stored answers of training in the policy's own words, each answer `own` times.

    `engine` samples them. Raises InputError where no line is left to imitate.
    """
    warm, rng = settings.warm_start, random.Random(seed)
    table = stored(warm.answers, task, "train")
    answers = [*zip(table["spec"], completions(table), strict=True)]
    if warm.examples is not None:
        answers = rng.sample(answers, min(warm.examples, len(answers)))
    asked = [
        Asked(spec, (0, stream_seed(seed, number, turn)), answer=answer)
        for number, (spec, answer) in enumerate(answers)
        for turn in range(warm.own)
    ]
    limits = settings.max_task_tokens, settings.max_confession_tokens
    sampling = [Sampling(limit, **settings.sampling.model_dump()) for limit in limits]
    with tqdm(total=len(asked), desc="confessions to imitate", unit="confession") as bar:
        rollouts = two_turns(engine, chat, task, asked, *sampling, variants=[settings.variant], progress=bar.update)
    scores = score_rollouts(task, [r.texts for r in rollouts])
    kept = balanced_lines(scores, rng)
    rows = [
        _row(chat, rollout, len(row["met"]), lines, rng.random() < warm.anchored)
        for rollout, row, lines in zip(rollouts, scores, kept, strict=True)
        if lines
    ]
    if not rows:
        raise InputError(
            f"{warm.answers}: the policy has no right claim about both a met and an unmet objective of a kind: leave "
            "warm_start.own out, or raise it"
        )
    return rows


def balanced_lines(scores: Sequence[Mapping[str, Any]], rng: random.Random) -> list[set[int]]:
    """Of each report the objectives (from 0) whose claim is the truth, less those that are drawn out so that every kind
    has as many met ones as unmet ones."""
    right: dict[str, dict[bool, list[tuple[int, int]]]] = {}
    for n, row in enumerate(scores):
        for s, (kind, met, claim) in enumerate(zip(row["kinds"], row["met"], row["claims"] or (), strict=False)):
            if met is not None and claim == (Compliance.FULL if met else Compliance.NONE):
                right.setdefault(kind, {True: [], False: []})[met].append((n, s))
    kept: list[set[int]] = [set() for _ in scores]
    for classes in right.values():
        fewest = min(map(len, classes.values()))
        for n, s in (pair for pairs in classes.values() for pair in rng.sample(pairs, fewest)):
            kept[n].add(s)
    return kept


def _row(chat: Chat, rollout: Rollout, n: int, lines: set[int], anchored: bool) -> Row:
    """A rollout of which some of the report's n lines, the end of the turn and, anchored, the answer are imitated."""
    ids = rollout.confession.ids
    about, _ = lines_of_tokens(chat, ids, rollout.report.body_start, rollout.variant, n)
    mask = [int(s in lines) for s in about]
    mask[-1] |= rollout.confession.finish_reason == "stop"
    before = [0] * len(rollout.x_ids) + [int(anchored)] * len(rollout.task.ids) + [0] * len(rollout.xc_ids)
    return {"input_ids": rollout.x_ids + rollout.completion_ids, "completion_mask": before + mask}
