"""Snakemake's locks: those of the living hold, those of the dead do not."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from confessions.pipeline import persistence
from confessions.pipeline.persistence import Bookkeeping
from confessions.pipeline.verify import verify

SNAKEFILE = """
from confessions.pipeline import persistence

persistence.install()


rule make:
    output:
        "{name}.made",
    shell:
        "touch {wildcards.name}.begun; while [ -e {wildcards.name}.wait ]; do sleep 0.1; done; touch {output}"
"""
REFUSED = "Directory cannot be locked"


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", "--cores", "1", "--rerun-incomplete", *words]


def run(folder: Path, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(command(*words), cwd=folder, check=False, text=True, capture_output=True)


@pytest.fixture
def working(tmp_path) -> subprocess.Popen:
    """A Snakemake that is at work on a.made in tmp_path."""
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "a.wait").touch()
    process = subprocess.Popen(command("a.made"), cwd=tmp_path, start_new_session=True, stderr=subprocess.DEVNULL)
    while not (tmp_path / "a.begun").exists():
        assert process.poll() is None
        time.sleep(0.05)
    yield process
    (tmp_path / "a.wait").unlink(missing_ok=True)  # also ends what the killed one had started
    process.wait(60)


def test_the_same_command_goes_on_after_a_kill(tmp_path, working):
    """And while the other is at work it is refused."""
    refused = run(tmp_path, "a.made")
    assert refused.returncode == 1
    assert REFUSED in refused.stderr
    working.send_signal(signal.SIGKILL)
    assert working.wait() == -signal.SIGKILL
    assert [*(tmp_path / ".snakemake/locks").iterdir()] != []
    (tmp_path / "a.wait").unlink()
    again = run(tmp_path, "a.made")
    assert again.returncode == 0, again.stderr
    assert [*(tmp_path / ".snakemake/locks").iterdir()] == []


RECORDED = """
from confessions.pipeline import persistence

persistence.install()


rule all:
    input:
        expand("results/models/{model}", model=["a", "b", "c"]),


rule make:
    output:
        directory("results/models/{model}"),
    shell:
        "PYTHON make.py {wildcards.model}"
"""
MAKE = """
import sys
from pathlib import Path
from confessions.runtime import provenance

out = Path("results/models") / sys.argv[1]
job = provenance.begin("make", {})
out.mkdir()
(out / "weights").write_text("x" * 100)
job.publish(out.parent, {out: []}, out.name)
"""


def test_what_was_cut_short_or_lost_its_record_is_made_again(tmp_path):
    """And nothing else is; what verify advises is done to the letter."""
    (tmp_path / "Snakefile").write_text(RECORDED.replace("PYTHON", sys.executable))
    (tmp_path / "make.py").write_text(MAKE)
    assert run(tmp_path).returncode == 0
    models = tmp_path / "results/models"
    other = (models / "c/weights").stat().st_ino
    os.truncate(models / "a/weights", 99)
    (models / "provenance/b.json").write_text("{")
    altered, unrecorded, malformed = verify(tmp_path / "results").findings
    assert (altered.kind, altered.path) == ("altered", str(models / "a/weights"))
    assert (unrecorded.kind, unrecorded.path) == ("unrecorded", str(models / "b"))
    assert malformed.kind == "malformed"
    assert "run snakemake again, on the experiment that it belongs to" in malformed.what
    again = run(tmp_path)
    assert again.returncode == 0, again.stderr
    said = "made again: results/models/a/weights: 99 bytes, and had 100 bytes when it was made"
    assert again.stderr.count(said) == 1
    assert verify(tmp_path / "results").findings == []
    assert (models / "c/weights").stat().st_ino == other


@pytest.fixture
def locks(tmp_path, monkeypatch) -> Bookkeeping:
    monkeypatch.chdir(tmp_path)
    return Bookkeeping()


LOCKED = [("output", "a"), ("output", "b")]


def test_a_lock_holds_while_it_is_held(locks):
    locks._write_locks("output", ["a", "b"])
    locks._write_locks("input", [])
    other = Bookkeeping()
    assert [*other._read_locks()] == LOCKED
    other._write_locks("output", ["c"])
    other._delete_locks()
    assert [*other._read_locks()] == LOCKED
    locks._delete_locks()
    assert [*other._read_locks()] == []


def test_a_lock_that_its_process_left_locks_nothing(locks):
    locks._write_locks("output", ["a", "b"])
    child = os.fork()
    if not child:  # holds the same lock, as a process that was forked does
        time.sleep(60)
        os._exit(0)
    locks._held.pop().close()
    assert [*Bookkeeping()._read_locks()] == LOCKED
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert [*Bookkeeping()._read_locks()] == []
    locks._delete_locks()
    assert [*Path(".snakemake/locks").iterdir()] == []


@pytest.mark.parametrize("first", [f"{persistence.HOST}another.host\n", ""])
def test_what_cannot_be_told_stays_a_lock(locks, first):
    """Of another host, or of a Snakemake that holds none; --unlock removes it."""
    path = Path(".snakemake/locks/0.output.lock")
    path.write_text(first + "a\nb\n")
    assert [*locks._read_locks()] == LOCKED
    locks._delete_locks()
    assert path.exists()
    locks.cleanup_locks()
    assert not path.exists()


def test_without_locks_of_the_operating_system_a_lock_is_snakemakes(locks, monkeypatch):
    monkeypatch.setattr(persistence.fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(95, "not supported")))
    locks._write_locks("output", ["a", "b"])
    assert Path(".snakemake/locks/0.output.lock").read_text() == "a\nb\n"
    assert [*Bookkeeping()._read_locks()] == LOCKED
