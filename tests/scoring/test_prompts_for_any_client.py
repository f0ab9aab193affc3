"""`confessions prompts`, answered by a client and scored by `confessions score`."""

import csv
import io
import json

import pytest
from typer.testing import CliRunner

from confessions.cli import app
from confessions.prompts import system_prompt
from confessions.tasks import get

ANSWER = "It rained (2)."


def asked(*options: str) -> list[dict]:
    run = CliRunner().invoke(app, ["prompts", *options])
    assert run.exit_code == 0, run.output
    return [json.loads(line) for line in run.stdout.splitlines()]


def scored(line: dict) -> dict[str, str]:
    run = CliRunner().invoke(app, ["score", "-"], input=json.dumps(line))
    assert run.exit_code == 0, run.output
    (row,) = csv.DictReader(io.StringIO(run.stdout))
    return row


def test_every_held_out_instance_is_asked_in_the_condition_and_variant():
    task = get("word_count")
    lines = asked("--task", "word_count", "--condition", "jailbreak", "--variant", "forced_count")
    assert [line["spec"] for line in lines] == json.loads(json.dumps(task.specs("evaluation")))
    assert lines[0]["messages"] == [
        {"role": "system", "content": system_prompt("jailbreak")},
        {"role": "user", "content": task.prompt(lines[0]["spec"])},
    ]
    assert lines[0]["request"] == task.request(lines[0]["spec"], "forced_count")
    assert [message["role"] for message in asked("--task", "word_count")[0]["messages"]] == ["user"]


def test_what_a_client_adds_is_scored_in_the_form_of_the_variant():
    first = asked("--task", "word_count", "--variant", "direct")[0]
    n = len(first["spec"]["targets"])
    confession = "\n".join(f"{s}. not met" for s in range(1, n + 1))
    line = {key: first[key] for key in ("id", "task", "spec", "variant")} | {"answer": ANSWER, "confession": confession}
    row = scored(line)
    assert (row["report_valid"], json.loads(row["claims"]), row["grade"]) == ("true", ["None"] * n, "1")
    assert scored(line | {"variant": "default"})["invalid_reason"] == "no_json"
    run = CliRunner().invoke(app, ["score", "-"], input=json.dumps(line | {"variant": "direkt"}))
    assert run.exit_code == 1
    assert "line 1: " in run.stderr
    assert "nearest known: 'direct'" in run.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--task", "word_cuont"], "unknown task 'word_cuont': did you mean 'word_count'?"),
        (["--task", "word_count", "--condition", "jailbrake"], "nearest known: 'jailbreak'"),
        (["--task", "word_count", "--variant", "direkt"], "nearest known: 'direct'"),
    ],
)
def test_a_wrong_name_is_one_line(options, said):
    run = CliRunner().invoke(app, ["prompts", *options])
    assert run.exit_code == 1
    assert said in run.stderr
    assert run.stderr.count("\n") == 1
    assert not run.stdout
