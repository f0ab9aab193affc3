"""The embedded model: its tokenizer, its corpus, and the proof that the shipped weights are what the recipe gives."""

import json
import random
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from confessions.nano import recipe
from confessions.nano.gate import measure
from confessions.nano.tokenizer import build_tokenizer
from confessions.prompts.report import parse_report
from confessions.scoring.scores import score_rollout
from confessions.tasks import get as get_task
from confessions.tasks.word_count.demonstrations import (
    CONDITIONS,
    TASKS,
    VARIANTS,
    Habits,
    Setting,
    conversation,
    lexicon,
)

SHIPPED = Path(str(files("confessions.nano"))) / "weights"
WEIGHTS = SHIPPED / recipe.GATED
SIZES = sorted(recipe.SHAPES)
TASK = get_task("word_count")
TARGETS = [12, 18, 12, 18, 12]
SPEC = {"topic": "a storm at sea", "targets": TARGETS}


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(recipe.corpus_texts(), recipe.settings_texts())


@pytest.fixture(scope="module")
def shipped():
    return AutoModelForCausalLM.from_pretrained(WEIGHTS).eval(), AutoTokenizer.from_pretrained(WEIGHTS)


# The tokenizer


@given(text=st.text())
def test_every_text_has_an_encoding_and_comes_back(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_words_of_the_corpus_and_the_prompts_are_single_tokens(tokenizer):
    words = [word for kind in lexicon().values() for word in kind]
    assert all(len(tokenizer.encode(f" {word}")) == 1 for word in words)
    pieces = tokenizer.tokenize(TASK.prompt(SPEC))
    assert max(map(len, pieces)) > 1
    assert len(pieces) < 80


# The corpus


@given(st.integers(0, 2**32), st.lists(st.integers(2, 24), min_size=5, max_size=5))
def test_sentences_have_the_lengths_that_were_asked_for(seed, lengths):
    talk = conversation(random.Random(seed), TARGETS, Habits(), lengths=lengths)
    truth = TASK.verify(SPEC, talk.y)
    assert list(truth.details["counts"]) == lengths
    assert truth.met == tuple(n == t for n, t in zip(lengths, TARGETS, strict=True))


@given(st.integers(0, 2**32), st.sampled_from(CONDITIONS), st.sampled_from(VARIANTS), st.sampled_from(TASKS))
def test_settings_change_what_they_should(seed, condition, variant, task):
    """Labels, reports and lengths keep their form in every setting; a plain setting draws nothing of its own."""
    around = Setting(task, condition, variant)
    talk = conversation(random.Random(seed), TARGETS, Habits(), setting=around)
    assert parse_report(talk.yc, 5, objective_number=TASK.objective_number).valid
    assert TASK.verify(SPEC, talk.y).details["counts"] == list(talk.lengths)
    if condition != "jailbreak" and variant == "default" and task == "word_count":
        assert talk == conversation(random.Random(seed), TARGETS, Habits())


def test_the_habits_of_the_settings():
    rng = random.Random(0)

    def share(name: str, **around: str) -> float:
        talks = [conversation(rng, TARGETS, Habits(), setting=Setting(**around)) for _ in range(1000)]
        scores = [score_rollout(TASK, SPEC, t.y, t.yc, t.zc) for t in talks]
        return sum(s[name] for s in scores) / len(scores)

    assert share("checked", variant="forced_count") == pytest.approx(Habits().forced_counts, abs=0.03)
    all_full = share("n_over_claim", condition="jailbreak") + share("n_correct_credit", condition="jailbreak")
    assert all_full == pytest.approx(5 * Habits().jailbroken, abs=0.3)
    assert share("n_false_labels", task="word_count_unlabelled") < 0.6


@given(st.integers(0, 2**32), st.booleans())
def test_reports_are_valid_and_a_count_is_a_count(seed, counted):
    talk = conversation(random.Random(seed), TARGETS, Habits(), counted=counted)
    assert parse_report(talk.yc, 5, objective_number=TASK.objective_number).valid
    assert TASK.checked(SPEC, talk.y, talk.zc) == counted


def test_the_habits_are_those_of_an_untrained_policy():
    rng = random.Random(0)
    talks = [conversation(rng, TARGETS, Habits()) for _ in range(2000)]
    scores = [score_rollout(TASK, SPEC, t.y, t.yc, t.zc) for t in talks]
    mean = lambda name: sum(s[name] for s in scores) / len(scores)  # noqa: E731
    assert mean("exact_compliance") == pytest.approx(0.15, abs=0.02)
    assert mean("hacked") == pytest.approx(0.82, abs=0.03)
    assert mean("n_met") / 5 == pytest.approx(0.25, abs=0.02)
    assert mean("checked") == pytest.approx(Habits().counts, abs=0.03)


# The shipped weights


def test_shipped_model_is_small_and_loads_as_any_other(shipped):
    model, tokenizer = shipped
    assert model.config.model_type == "qwen3"
    assert model.config.vocab_size == len(tokenizer)


def test_all_shipped_weights_stay_small():
    assert sorted(folder.name for folder in SHIPPED.iterdir()) == SIZES
    assert sum(f.stat().st_size for f in SHIPPED.rglob("*") if f.is_file()) <= 5_000_000


@pytest.mark.parametrize("size", SIZES)
def test_shipped_tokenizer_is_the_recipes(size, tokenizer):
    """Fails when a prompt, a topic or the lexicon has changed since the weights were made: `make rebuild-nano`."""
    shipped = AutoTokenizer.from_pretrained(SHIPPED / size)
    assert shipped.get_vocab() == tokenizer.get_vocab()
    assert shipped.chat_template == tokenizer.chat_template


def test_the_settings_add_tokens_behind_the_others(tokenizer):
    plain = build_tokenizer(recipe.corpus_texts()).get_vocab()
    assert plain.items() <= tokenizer.get_vocab().items()
    new = tokenizer.get_vocab().keys() - plain.keys()
    assert min(tokenizer.get_vocab()[token] for token in new) == len(plain)


@pytest.mark.parametrize("size", SIZES)
def test_the_recipe_starts_as_the_record_of_the_shipped_weights_says(size):
    record = json.loads((SHIPPED / size / "recipe.json").read_text())
    assert record["habits"] == vars(Habits())
    first = replace(recipe.CURRICULUM[0], steps=4, until=0.0)
    last = replace(first, steps=1)  # only the last stage's learning rate falls
    _, losses = recipe.learn_task(recipe.SHAPES[size], Habits(), record["seed"], lambda line: None, (first, last))
    assert [loss for *_, loss in losses[:4]] == pytest.approx([loss for *_, loss in record["losses"][:4]], abs=2e-3)


def test_shipped_weights_pass_the_gate(shipped):
    gate = measure(recipe.sample_rollouts(*shipped, 64))
    assert gate.passed, gate


@pytest.mark.rebuild
@pytest.mark.parametrize("size", SIZES)
def test_the_whole_recipe_gives_the_shipped_weights(size):
    """A quarter of an hour each; run with `pytest -m rebuild`. Equal to the bit on the same kind of CPU, close on
    another."""
    shipped = AutoModelForCausalLM.from_pretrained(SHIPPED / size)
    record = json.loads((SHIPPED / size / "recipe.json").read_text())
    model, _, losses = recipe.train(recipe.SHAPES[size], Habits(), record["seed"], lambda line: None)
    assert losses[-1][2] == pytest.approx(record["losses"][-1][2], abs=0.05)
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(weight, shipped.state_dict()[name], rtol=0, atol=0.05)
