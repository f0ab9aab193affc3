"""What the user can repair ends a command with one line; a bug of ours stays a traceback."""

import pytest

from confessions.runtime.errors import InputError, reported


def test_an_input_error_is_one_line_status_1_and_kept_in_the_log(tmp_path, capsys):
    log = tmp_path / "log"
    with pytest.raises(SystemExit) as caught, reported(log) as say:
        say("so far so good")
        raise InputError("x.parquet: cut; delete it")
    assert caught.value.code == 1
    assert capsys.readouterr().err == log.read_text() == "so far so good\nerror: x.parquet: cut; delete it\n"


def test_a_bug_passes_through_and_is_kept_in_the_log(tmp_path):
    log = tmp_path / "log"
    with pytest.raises(ZeroDivisionError), reported(log):
        _ = 1 / 0
    assert "ZeroDivisionError" in log.read_text()


def test_no_log_is_needed(capsys):
    with reported() as say:
        say("hello")
    assert capsys.readouterr().err == "hello\n"
