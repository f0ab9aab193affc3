"""The weak judge: it reads the answer alone, and a verdict that cannot be read is an error, never a score."""

import pytest

from confessions.chat import Chat
from confessions.engines import Sampling
from confessions.engines.transformers import TransformersEngine
from confessions.judge import JudgeError, LabelTrusting, LanguageModelJudge, read_verdict
from confessions.rollout import two_turns

TARGET_LABELS = "One (12). Two (18). Three (12). Four (18). Five (12)."


@pytest.fixture
def specs(task):
    return task.specs("train")[:3]


@pytest.fixture
def plain_chat(tokenizer):
    """A judge replies without thinking."""
    return Chat(tokenizer, thinking=False)


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("Pass", True), ("**FAIL**.", False), ("Verdict: pass, a clear pass", True), ("", None), ("Good.", None),
        ("Pass or Fail?", None), ("The rule surpasses it", None), ("It failed", None),
    ],
)  # fmt: skip
def test_a_verdict_is_one_of_two_words(reply, verdict):
    assert read_verdict(reply) is verdict


def test_label_trusting_believes_the_labels(task, specs):
    """Labels that state the targets pass, whatever the words; one label that tells the truth fails."""
    answers = [TARGET_LABELS, TARGET_LABELS.replace("(18)", "(17)", 1), ""]
    assert LabelTrusting(task).passes(specs, answers) == [True, False, False]


def test_unreadable_replies_alone_are_asked_for_again(task, specs, plain_chat, scripted):
    """First greedy, then sampled with another seed; verdicts keep the order of the answers."""
    engine = scripted(["Pass", "Well", "Fail"], ["Hm, Fail"])
    judge = LanguageModelJudge(engine, plain_chat, task, max_attempts=3)
    assert judge.passes(specs, ["one", "two", "three"]) == [True, False, False]
    first, second = engine.calls
    assert len(first.prompts) == 3
    assert second.prompts == [first.prompts[1]]
    assert (first.sampling.temperature, second.sampling.temperature) == (0.0, 1.0)
    assert first.seeds[1] != second.seeds[0]


def test_no_verdict_is_an_error(task, specs, plain_chat, scripted):
    judge = LanguageModelJudge(scripted(["Pass", "Well", "Fail"], ["Hm"]), plain_chat, task, max_attempts=2)
    with pytest.raises(JudgeError, match=r"no verdict on 1 of 3 answers in 2 attempts.*'Hm'"):
        judge.passes(specs, ["one", "two", "three"])


def test_the_judge_reads_task_and_answer_only(task, specs, chat, plain_chat, scripted):
    """Of a whole rollout, x and y are in its prompt; z, zc and yc are not."""
    turns = scripted(["<think>\nSECRETZ\n</think>\n\nANSWERY"], ["<think>\nSECRETZC\n</think>\n\nREPORTYC"])
    (rollout,) = two_turns(turns, chat, task, specs[:1], [(1, 2)], Sampling(9), Sampling(9))
    assert (rollout.answer.reasoning, rollout.report.reasoning, rollout.report.body) == (
        "SECRETZ",
        "SECRETZC",
        "REPORTYC",
    )
    engine = scripted(["Pass"])
    assert LanguageModelJudge(engine, plain_chat, task, max_attempts=1).passes(specs[:1], [rollout.answer.body]) == [
        True
    ]
    prompt = plain_chat.tokenizer.decode(engine.calls[0].prompts[0])
    assert task.prompt(specs[0]) in prompt
    assert "ANSWERY" in prompt
    assert "SECRET" not in prompt
    assert "REPORT" not in prompt


@pytest.mark.parametrize(("word", "verdicts"), [(" Pass", [True, True]), (" Fail", [False, False]), (" garden", None)])
def test_a_local_model_judges(task, specs, plain_chat, biased, word, verdicts):
    """The real engine, with a random model that is made to repeat one word."""
    (token,) = plain_chat.tokenizer.encode(word, add_special_tokens=False)
    engine = TransformersEngine(biased(token, 100.0), plain_chat.tokenizer)
    judge = LanguageModelJudge(engine, plain_chat, task, max_attempts=2)
    if verdicts is None:
        with pytest.raises(JudgeError, match=r"no verdict on 2 of 2 answers in 2 attempts.*garden"):
            judge.passes(specs[:2], ["one", "two"])
    else:
        assert judge.passes(specs[:2], ["one", "two"]) == verdicts
