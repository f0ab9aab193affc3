"""The texts of a rollout out of its row, and what a task without a file of problems says to one."""

import pandas as pd
import pytest

from confessions import tasks
from confessions.runtime.errors import InputError
from confessions.tasks.conversation import Conversation, conversations

ROW = {
    "spec": '{"n": 1}',
    "z": "",
    "y": "A.",
    "zc": "so",
    "yc": "{}",
    "task_finish": "stop",
    "confession_finish": "length",
}


def test_a_row_is_a_conversation() -> None:
    said = Conversation({"n": 1}, "A.", "{}", "so", confession_truncated=True)
    assert conversations(pd.DataFrame([ROW])) == [said]
    [more] = conversations(pd.DataFrame([ROW | {"variant": "evidence", "x": "ask", "xc": "confess"}]), "x", "xc")
    assert (more.variant, more.x, more.xc) == ("evidence", "ask", "confess")
    with pytest.raises(KeyError, match="xc"):
        conversations(pd.DataFrame([ROW]), "xc")


def test_a_task_without_problems_of_a_file_says_so() -> None:
    with pytest.raises(InputError, match="word_count: this task reads no file of problems"):
        tasks.get("word_count", "problems.jsonl")
