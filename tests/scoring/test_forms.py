"""Transcripts in forms of others: lists of chat messages, Inspect's logs."""

import json
from pathlib import Path

import pytest
from machine import needs_inspect
from made_rollouts import rollout_frame, write_files
from typer.testing import CliRunner

from confessions import tasks
from confessions.cli import app
from confessions.runtime.errors import InputError
from confessions.scoring.forms import is_inspect_log
from confessions.scoring.scores import score_rollouts
from confessions.scoring.transcripts import parse, row, score_file
from confessions.tasks.conversation import conversations

LINE = {"id": 1, "task": "given", "spec": {"objectives": ["is short"], "met": [True]}, "variant": "direct"}
ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say hello."}]
ANSWER, REQUEST = {"role": "assistant", "content": "Hello."}, {"role": "user", "content": "Was it short?"}
CONFESSION = {"role": "assistant", "content": "1. met"}


def line(*messages: dict, **more) -> bytes:
    return json.dumps(LINE | {"messages": list(messages)} | more).encode()


def test_messages_are_the_same_as_answer_and_confession():
    plain = json.dumps(LINE | {"answer": "Hello.", "confession": "1. met", "confession_reasoning": "It was."}).encode()
    parts = CONFESSION | {"content": [{"type": "text", "text": "1. "}, {"type": "text", "text": "met"}]}
    given = parse(line(*ASKED, ANSWER, REQUEST, parts | {"reasoning_content": "It was."}))
    assert given == parse(plain)
    assert row(given) == row(parse(plain))


def test_an_earlier_exchange_is_passed_over():
    earlier = [{"role": "assistant", "content": "What?"}, {"role": "user", "content": "Go on."}]
    assert parse(line(*ASKED, *earlier, ANSWER, REQUEST, CONFESSION)).answer == "Hello."


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ("hello", "a list of objects with role and content is needed"),
        ([], "the roles are none"),
        ([*ASKED, ANSWER], "the roles are system, user, assistant"),
        ([*ASKED, ANSWER, CONFESSION], "between them stands nothing"),
        ([*ASKED, ANSWER, {"role": "tool", "content": "3"}, CONFESSION], "between them stands tool"),
        ([*ASKED, ANSWER, REQUEST], "the roles are system, user, assistant, user"),
        ([*ASKED, ANSWER | {"tool_calls": [{"id": "a"}]}, REQUEST, CONFESSION], "calls tools"),
        ([*ASKED, ANSWER, REQUEST, CONFESSION | {"content": None}], "is not text"),
        ([*ASKED, ANSWER | {"content": [{"type": "image_url"}]}, REQUEST, CONFESSION], "is not text"),
        ([*ASKED, ANSWER | {"content": [{"type": "text", "text": 5}]}, REQUEST, CONFESSION], "is not text"),
        ([{"role": "bot", "content": ""}, *ASKED, ANSWER, REQUEST, CONFESSION], "'bot' is no role of a message"),
    ],
)
def test_messages_of_another_form(messages, why):
    with pytest.raises(InputError, match=why):
        parse(json.dumps(LINE | {"messages": messages}).encode())


def test_a_line_s_own_reasoning_goes_before_a_message_s():
    given = parse(line(*ASKED, ANSWER, REQUEST, CONFESSION | {"reasoning": "a"}, confession_reasoning="b"))
    assert given.confession_reasoning == "b"


def test_messages_beside_an_answer():
    with pytest.raises(InputError, match="messages and answer: give one of the two"):
        parse(line(*ASKED, ANSWER, REQUEST, CONFESSION, answer="Hello."))


@pytest.mark.parametrize("suffix", ["eval", "json"])
def test_a_log_of_ours_has_the_scores_of_its_rollouts(suffix, tmp_path):
    needs_inspect()
    from inspect_ai.log import read_eval_log, write_eval_log

    from confessions.pipeline.inspect_logs import write_logs

    frame = rollout_frame()
    rollouts, scores = write_files(tmp_path, frame)
    for path in write_logs(rollouts, scores, tmp_path / "logs", {"experiment": "demo"}, "demo"):
        if suffix == "json":
            log = read_eval_log(str(path))
            path = path.with_suffix(".json")
            write_eval_log(log, str(path))
        assert is_inspect_log(path)
        kept: list[dict] = []
        assert score_file(path, None, lambda text: None, kept.append)
        cell = frame[frame["condition"] == kept[0]["condition"]]
        own = score_rollouts(tasks.get(cell["task"].iat[0]), conversations(cell))
        assert [{key: scores[key] for key in mine} for scores, mine in zip(kept, own, strict=True)] == own
        assert {scores["variant"] for scores in kept} == set(cell["variant"])


def test_a_log_of_another_task(tmp_path):
    needs_inspect()
    from inspect_ai import Task, eval
    from inspect_ai.dataset import Sample

    [log] = eval(Task([Sample("hello")]), model="mockllm/model", log_dir=str(tmp_path), display="none")
    told = CliRunner().invoke(app, ["score", log.location.removeprefix("file://")])
    assert told.exit_code == 1
    [error] = [text for text in told.stderr.splitlines() if text.startswith("error: ")]
    assert "a log of task, none of this project's: its metadata name no task" in error


def test_a_log_of_a_task_that_is_not_known(tmp_path):
    needs_inspect()
    from inspect_ai import Task, eval
    from inspect_ai.dataset import Sample

    sample = Sample("hello", metadata={"task": "word_counts"})
    [log] = eval(Task([sample]), model="mockllm/model", log_dir=str(tmp_path), display="none")
    with pytest.raises(InputError, match=r"\.eval: unknown task 'word_counts': did you mean 'word_count'\?"):
        score_file(Path(log.location.removeprefix("file://")), None, lambda text: None)


def test_a_sample_whose_model_failed_is_a_bad_line(tmp_path, capsys):
    needs_inspect()
    from inspect_ai.log import read_eval_log, write_eval_log
    from inspect_ai.model import ModelOutput

    from confessions.pipeline.inspect_logs import write_logs

    path, *_ = write_logs(*write_files(tmp_path, rollout_frame()), tmp_path / "logs", {"experiment": "demo"}, "demo")
    log = read_eval_log(str(path))
    log.samples[1].output, log.samples[1].messages = ModelOutput(), log.samples[1].messages[:1]
    write_eval_log(log, str(tmp_path / "failed.eval"))
    told: list[str] = []
    assert not score_file(tmp_path / "failed.eval", None, told.append)
    assert told == ["3 scored, 1 bad"]
    assert "line 2: messages: the last two assistant messages are" in capsys.readouterr().err


def test_a_log_that_is_none(tmp_path: Path):
    needs_inspect()
    file = tmp_path / "a.eval"
    file.write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(InputError, match="not a log that Inspect can read"):
        score_file(file, None, lambda text: None)
