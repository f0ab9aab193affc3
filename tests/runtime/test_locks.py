"""Two processes and one working folder."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from confessions.runtime.locks import alone

HOLD = "import sys; from pathlib import Path; from confessions.runtime.locks import alone\n"
HOLD += "with alone(Path(sys.argv[1]), print): print('inside', flush=True); sys.stdin.read()"  # until it is killed


@pytest.fixture
def other(tmp_path, monkeypatch):
    """Another process, in tmp_path."""
    environment = os.environ | {"SLURM_JOB_ID": "12"}
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"inside\n"
    yield process
    process.kill()
    process.wait()


def test_the_second_waits_and_says_for_whom(tmp_path, other, monkeypatch):
    """Even a holder that is killed outright lets go."""
    monkeypatch.setattr("confessions.runtime.locks.POLL_SECONDS", 0.05)
    said = []

    def say(line):
        said.append(line)
        other.send_signal(signal.SIGKILL)

    with alone(tmp_path, say):
        assert other.wait() == -signal.SIGKILL
    (line,) = said
    assert line.startswith(f"{tmp_path}: Slurm job 12 (")
    assert f"process {other.pid}; scancel 12 ends it) is at work here; waiting" in line


def test_an_error_inside_lets_go(tmp_path):
    with pytest.raises(ZeroDivisionError), alone(tmp_path, pytest.fail):
        raise ZeroDivisionError
    with alone(tmp_path, pytest.fail):  # says nothing: nobody is there
        pass


def test_other_processes_of_one_job_do_not_wait_for_the_first(tmp_path, other, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with alone(tmp_path, pytest.fail):
        assert other.poll() is None


def test_one_who_waits_for_a_folder_that_goes_has_it_alone(tmp_path, monkeypatch):
    """The holder leaves no trace where it has made nothing; who waits makes the folder and the lock anew."""
    monkeypatch.setattr("confessions.runtime.locks.POLL_SECONDS", 0.05)
    folder, inside, said = tmp_path / "new", [], []

    def work(name):
        with alone(folder, said.append):
            inside.append(name)
            assert inside == [name]
            time.sleep(0.01)
            inside.remove(name)

    with ThreadPoolExecutor(4) as pool:
        with alone(folder, pytest.fail):
            running = [pool.submit(work, number) for number in range(4)]
            while len(said) < 4:
                time.sleep(0.01)
        for each in running:
            each.result()
    assert len(said) >= 4
    assert not list(folder.rglob("*"))
