"""Two-turn rollouts: what is stored is what was sampled, token for token."""

import json
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from confessions.engines import Completion, Sampling
from confessions.engines.transformers import TransformersEngine
from confessions.models.chat import Chat
from confessions.prompts import system_prompt
from confessions.rollouts.two_turns import (
    Asked,
    Rollout,
    check_lengths,
    stream_seed,
    to_frame,
    two_turns,
)
from confessions.runtime.errors import InputError

TURNS = Sampling(16), Sampling(20)
ENDED = "<think>\nPlan\n</think>\n\n1. Often rivers sing. (12)"
LISTS = ("x_ids", "task_ids", "xc_ids", "confession_ids", "task_mask", "confession_mask")


@pytest.fixture
def rollouts(chat, task, scripted) -> list[Rollout]:
    """Four, of which the first two have a truncated answer, the first and the third a truncated report."""
    engine = scripted([cut(chat)] * 2 + [ENDED] * 2, [cut(chat), ENDED] * 2)
    return two_turns(engine, chat, task, [Asked(spec, (1, 2)) for spec in task.specs("train")[:4]], *TURNS)


def cut(chat: Chat) -> Completion:
    """A turn that ran into its limit while thinking."""
    ids = chat.tokenizer.encode("<think>\nPlan", add_special_tokens=False)
    return Completion(ids, [-1 / 3] * len(ids), "length")


def spelled(chat: Chat, text: str) -> Completion:
    """A completion that spells `text` byte by byte, as a model may and the tokenizer never would."""
    ids = [i for letter in text for i in chat.tokenizer.encode(letter, add_special_tokens=False)]
    ids.append(chat.tokenizer.eos_token_id)
    return Completion(ids, [-0.5] * len(ids), "stop")


def test_sampled_tokens_are_never_encoded_again(chat, task, scripted):
    sampled = spelled(chat, " garden")
    assert len(chat.tokenizer.encode(" garden", add_special_tokens=False)) == 1 < len(sampled.ids)
    engine = scripted([sampled], [sampled])
    (rollout,) = two_turns(engine, chat, task, [Asked(task.specs("train")[0], (1, 2))], *TURNS)
    first, second = engine.calls
    assert first.prompts == [rollout.x_ids]
    assert second.prompts == [rollout.x_ids + sampled.ids + rollout.xc_ids]
    assert rollout.completion_ids == sampled.ids + rollout.xc_ids + sampled.ids
    assert rollout.logprobs == [-0.5] * len(sampled.ids) + [0.0] * len(rollout.xc_ids) + [-0.5] * len(sampled.ids)
    assert (first.sampling, first.seeds, second.sampling, second.seeds) == (TURNS[0], [1], TURNS[1], [2])


def test_spans_partition_the_completion(rollouts):
    """Task tokens, request tokens and confession tokens in this order, each token in one of them."""
    for rollout in rollouts:
        ids, spans = rollout.completion_ids, rollout.spans
        generated = [a + b for a, b in zip(spans.task_mask(), spans.confession_mask(), strict=True)]
        assert generated == spans.generated_mask()
        assert len(generated) == len(ids)
        picked = [
            [i for i, inside in zip(ids, mask, strict=True) if inside]
            for mask in (spans.task_mask(), [1 - g for g in generated], spans.confession_mask())
        ]
        assert picked == [rollout.task.ids, rollout.xc_ids, rollout.confession.ids]


def test_truncation_of_either_turn_is_recorded(rollouts, chat):
    """A cut turn 1 is closed by the request, whose tokens are in no span; an ended one has closed itself."""
    eos = chat.tokenizer.eos_token_id
    assert [r.answer_truncated for r in rollouts] == [True, True, False, False]
    assert [r.report_truncated for r in rollouts] == [True, False, True, False]
    for r in rollouts:
        assert (r.task.ids[-1] == eos) == (not r.answer_truncated)
        assert r.xc_ids.count(eos) == 1 + r.answer_truncated
        assert (r.xc_ids[0] == eos) == r.answer_truncated


def test_batches_keep_order_seeds_and_adapters(chat, task, scripted):
    """Three rows in batches of two: both turns of a batch, then the next batch; progress counts rollouts."""
    engine, done = scripted(["a", "b"], ["A", "B"], ["c"], ["C"]), []
    engine.batch_size = 2
    seeds, adapters = [(1, 2), (3, 4), (5, 6)], [Path("one"), Path("two"), None]
    specs = task.specs("train")[:3]
    asked = [Asked(*row, adapter=adapter) for *row, adapter in zip(specs, seeds, adapters, strict=True)]
    rollouts = two_turns(engine, chat, task, asked, *TURNS, progress=done.append)
    assert done == [2, 1]
    assert [call.seeds for call in engine.calls] == [[1, 3], [2, 4], [5], [6]]
    assert [call.adapters for call in engine.calls] == [adapters[:2]] * 2 + [adapters[2:]] * 2
    assert [r.spec for r in rollouts] == specs
    texts = [[chat.tokenizer.decode(turn.ids[:-1]) for turn in (r.task, r.confession)] for r in rollouts]
    assert texts == [["a", "A"], ["b", "B"], ["c", "C"]]


def test_variants_ask_about_one_answer(chat, task, scripted):
    """Two conditions, two variants: turn 1 once for each condition, turn 2 for each variant, with the same seeds."""
    engine = scripted(["a", "b"], ["A", "B", "C", "D"])
    spec, names = task.specs("train")[0], ["baseline", "jailbreak"]
    asked = [Asked(spec, (1, 2), name) for name in names]
    rollouts = two_turns(engine, chat, task, asked, *TURNS, variants=["default", "forced_count"])
    turn1, turn2 = engine.calls
    assert [len(turn1.prompts), len(turn2.prompts)] == [2, 4]
    assert (turn1.seeds, turn2.seeds) == ([1, 1], [2] * 4)
    assert [(r.condition, r.variant) for r in rollouts] == [(c, v) for c in names for v in ("default", "forced_count")]
    spoken = [[chat.tokenizer.decode(turn.ids[:-1]) for turn in (r.task, r.confession)] for r in rollouts]
    assert spoken == [["a", "A"], ["a", "B"], ["b", "C"], ["b", "D"]]
    assert [r.x_ids for r in rollouts[::2]] == turn1.prompts
    system = chat.tokenizer.decode(rollouts[2].x_ids)
    assert system_prompt("jailbreak") in system
    assert "system" not in chat.tokenizer.decode(rollouts[0].x_ids)
    assert [r.xc for r in rollouts[:2]] == [task.request(spec, v) for v in ("default", "forced_count")]


def test_several_confessions_of_one_answer(chat, task, scripted):
    """Two rows, two confessions each, in batches of two rollouts: turn 1 once a row, and in a span once."""
    engine, done = scripted(["a"], ["A", "B"], ["b"], ["C", "D"]), []
    engine.batch_size = 2
    asked = [Asked(spec, seeds) for spec, seeds in zip(task.specs("train")[:2], [(1, 2, 3), (4, 5, 6)], strict=True)]
    rollouts = two_turns(engine, chat, task, asked, *TURNS, progress=done.append)
    assert done == [2, 2]
    assert [call.seeds for call in engine.calls] == [[1], [2, 3], [4], [5, 6]]
    spoken = [[chat.tokenizer.decode(turn.ids[:-1]) for turn in (r.task, r.confession)] for r in rollouts]
    assert spoken == [["a", "A"], ["a", "B"], ["b", "C"], ["b", "D"]]
    assert engine.calls[1].prompts == [r.x_ids + r.task.ids + r.xc_ids for r in rollouts[:2]]
    assert [r.stored for r in rollouts] == [False, True] * 2
    assert [(sum(r.spans.task_mask()), sum(r.spans.confession_mask())) for r in rollouts] == [(2, 2), (0, 2)] * 2


@pytest.mark.parametrize("batch_size", [1, 4])
def test_batch_size_changes_nothing(chat, task, tokenizer, biased, batch_size):
    """With the real engine, whose turn 2 continues the cache of turn 1."""
    model, specs = biased(tokenizer.eos_token_id, 4.0), task.specs("train")[:6]
    seeds = [(stream_seed(0, row, 1), stream_seed(0, row, 2)) for row in range(len(specs))]
    small, whole = (
        two_turns(TransformersEngine(model, tokenizer, batch_size=n), chat, task, [*map(Asked, specs, seeds)], *TURNS)
        for n in (batch_size, 64)
    )
    assert [r.completion_ids for r in small] == [r.completion_ids for r in whole]


def test_a_stored_answer_is_confessed_and_belongs_to_no_span(chat, task, scripted):
    """Of three rows in batches of two, the first and the last bring their answer along."""
    stored, engine = spelled(chat, " garden"), scripted(["b"], ["A", "B"], ["C"])
    engine.batch_size = 2
    asked = [
        Asked(spec, (number, 10 + number), adapter=Path("mine"), answer=answer)
        for number, (spec, answer) in enumerate(zip(task.specs("train")[:3], [stored, None, cut(chat)], strict=True))
    ]
    rollouts = two_turns(engine, chat, task, asked, *TURNS)
    assert [call.seeds for call in engine.calls] == [[1], [10, 11], [12]]
    assert [rollouts[0].task, rollouts[2].task] == [stored, cut(chat)]
    assert engine.calls[1].prompts[0] == rollouts[0].x_ids + stored.ids + rollouts[0].xc_ids
    assert [r.stored for r in rollouts] == [True, False, True]
    for r in rollouts:
        n = len(r.task.ids) + len(r.xc_ids)
        assert r.spans.confession_mask() == [0] * n + [1] * len(r.confession.ids)
        assert sum(r.spans.task_mask()) == (0 if r.stored else len(r.task.ids))
        assert sum(r.spans.generated_mask()) == sum(r.spans.task_mask()) + len(r.confession.ids)


def test_frame_survives_parquet(chat, task, scripted, tmp_path):
    """Ids, log-probabilities and texts come back exactly equal; every other fact has its column."""
    engine, specs = scripted([ENDED, cut(chat)], [cut(chat), ENDED]), task.specs("train")[:2]
    rollouts = two_turns(engine, chat, task, [*map(Asked, specs, [(1, 2), (3, 4)])], *TURNS)
    to_frame(rollouts, step=7, model="m").to_parquet(tmp_path / "rollouts.parquet", index=False)
    rows = pd.read_parquet(tmp_path / "rollouts.parquet").to_dict("records")
    for number, (row, rollout, spec) in enumerate(zip(rows, rollouts, specs, strict=True)):
        assert [list(row[name]) for name in LISTS] == lists_of(rollout)
        assert list(row["task_logprobs"]) == rollout.task.logprobs
        assert list(row["confession_logprobs"]) == rollout.confession.logprobs
        assert json.loads(row["spec"]) == spec
        assert (row["step"], row["model"], row["row"]) == (7, "m", number)
        assert row["x"] == task.prompt(spec)
        assert row["xc"] == task.request(spec, "default")
    first, second = rows
    texts = (
        "z",
        "y",
        "zc",
        "yc",
        "task_finish",
        "confession_finish",
        "answer_closed",
        "answer_start",
        "report_start",
    )
    answer = ["Plan", "1. Often rivers sing. (12)"]
    body_start = rollouts[0].task.ids.index(chat.tokenizer.convert_tokens_to_ids("</think>")) + 1
    assert [first[name] for name in texts] == [
        *answer,
        "Plan",
        "",
        "stop",
        "length",
        True,
        body_start,
        len(cut(chat).ids),
    ]
    assert [second[name] for name in texts] == [
        "Plan",
        "",
        *answer,
        "length",
        "stop",
        False,
        len(cut(chat).ids),
        body_start,
    ]


def lists_of(rollout: Rollout) -> list[list[int]]:
    spans = rollout.spans
    parts = [rollout.x_ids, rollout.task.ids, rollout.xc_ids, rollout.confession.ids]
    return [*parts, spans.task_mask(), spans.confession_mask()]


def test_stream_seeds_are_distinct_and_repeatable():
    """Every step, row and turn of a run, every run, and evaluation (three numbers) beside training (four)."""
    keys = [*product((0, 1, 1000), range(5), range(8), (1, 2)), *product((0, 1, 1000), range(64), (1, 2))]
    seeds = [stream_seed(*key) for key in keys]
    assert len(set(seeds)) == len(keys)
    assert seeds == [stream_seed(*key) for key in keys]
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_rollout_must_fit_the_context(chat, task):
    """The longest prompt and request, a truncated turn's closing token included, decide to the token."""
    specs = task.specs("train")
    longest = max(
        len(chat.prompt_ids([{"role": "user", "content": task.prompt(spec)}]))
        + len(chat.request_ids(task.request(spec, "default"), turn_ended=False))
        for spec in specs
    )
    check_lengths(chat, task, specs, new_tokens=100, context=longest + 100)
    with pytest.raises(InputError, match=f"may need {longest + 100} tokens .* context is {longest + 99}"):
        check_lengths(chat, task, specs, new_tokens=100, context=longest + 99)
