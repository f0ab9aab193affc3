"""parallel.py, in a run of its own: in one process and in several."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("xdist", reason="pytest-xdist is not installed: pip install -e '.[dev]'")

SETTINGS = """[pytest]
addopts = -q -m 'not slow'
markers =
    slow: takes an hour (pytest -m slow)
"""
TESTS = """
import os, pathlib, pytest

@pytest.mark.parametrize("number", range(3))
def test_runs(number):
    pathlib.Path(f"{number}.worker").write_text(os.environ.get("PYTEST_XDIST_WORKER", "alone"))

@pytest.mark.slow
def test_slow():
    test_runs(9)

def test_skipped():
    pytest.skip("no such tool here: apt-get install it")
"""
LEFT_OUT = ["   2  no such tool here: apt-get install it", "   2  slow: takes an hour (pytest -m slow)"]


@pytest.fixture
def pytest_run(tmp_path):
    """Runs pytest on two files of tests; returns its output and which processes ran tests."""
    (tmp_path / "pytest.ini").write_text(SETTINGS)
    for name in ("test_a.py", "test_b.py"):
        (tmp_path / name).write_text(TESTS)
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST")}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])

    def run(*options: str) -> tuple[list[str], set[str]]:
        command = [sys.executable, "-m", "pytest", "-p", "parallel", *options]
        done = subprocess.run(command, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines(), {path.read_text() for path in tmp_path.glob("*.worker")}

    return run


@pytest.mark.parametrize("options", [("-n", "0"), ("-n", "2", "--dist", "loadfile")])
def test_what_was_left_out_is_listed_once(pytest_run, options):
    lines, workers = pytest_run(*options)
    assert workers <= ({"gw0", "gw1"} if "2" in options else {"alone"})
    (at,) = (number for number, line in enumerate(lines) if "tests that were not run" in line)
    assert lines[at + 1 : at + 3] == LEFT_OUT
    assert [line for line in lines if line in LEFT_OUT] == LEFT_OUT


def test_tests_that_are_asked_for_by_a_mark_have_the_machine_to_themselves(pytest_run):
    _, workers = pytest_run("-n", "auto", "-m", "slow")
    assert workers == {"alone"}
    _, workers = pytest_run("-n", "auto")
    assert workers - {"alone"}
