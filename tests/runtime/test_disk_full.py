"""A full disk ends a command with one line, and leaves nothing that looks whole and is not."""

import errno
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from made_tables import LABELS, write_scores
from safetensors.torch import save_file
from test_cli import CELLS, ENGINE, EVALUATION, PLAIN, POLICY, TRAIN, run
from test_parts import SOURCE, site  # noqa: F401
from torch.distributed.checkpoint.api import CheckpointException
from transformers import Trainer

from confessions.analysis import tables
from confessions.models import loading, sources
from confessions.runtime import files
from confessions.runtime.errors import InputError
from confessions.runtime.files import published, published_folder
from confessions.training import checkpoints
from confessions.training.callbacks import RolloutKeeper
from confessions.training.kept_rollouts import COLUMNS, step_file

NUMBERS = np.random.default_rng(0).normal(size=200_000)


@pytest.fixture
def disk(tmp_path) -> Iterator[Callable[[int], Path]]:
    """Makes a file system of so many KiB, or gives it another size."""
    folder = tmp_path / "disk"
    if not shutil.which("mount"):
        pytest.skip("mount is not installed: apt-get install mount")

    def sized(kibibytes: int) -> Path:
        folder.mkdir(exist_ok=True)
        mounted = ["-o", f"remount,size={kibibytes}k"] if folder.is_mount() else ["-o", f"size={kibibytes}k"]
        command = ["mount", "-t", "tmpfs", *mounted, "tmpfs", str(folder)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            how = "run the tests as root, or by unshare --map-root-user --mount"
            pytest.skip(f"a small tmpfs cannot be mounted here ({done.stderr.strip()}): {how}")
        return folder

    yield sized
    if folder.is_mount():
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


WRITERS = {
    "text": lambda path: path.write_text("a" * 1_600_000),
    "csv": lambda path: pd.DataFrame({"a": NUMBERS}).to_csv(path),
    "parquet": lambda path: pd.DataFrame({"a": NUMBERS}).to_parquet(path),
    "safetensors": lambda path: save_file({"a": torch.tensor(NUMBERS)}, path),
    "torch": lambda path: torch.save({"a": torch.tensor(NUMBERS)}, path),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_every_writer_says_so_in_one_line(disk, writer):
    folder = disk(300)
    (folder / "out").write_text("old")
    with (
        pytest.raises(InputError, match=rf"^{re.escape(str(folder))}/out: the disk is full.*make room") as caught,
        published(folder / "out") as temporary,
    ):
        WRITERS[writer](temporary)
    assert len(str(caught.value).splitlines()) == 1
    assert [path.name for path in folder.iterdir()] == ["out"]
    assert (folder / "out").read_text() == "old"


def test_a_folder_is_there_whole_or_not_at_all(disk):
    folder = disk(300)
    with pytest.raises(InputError, match="the disk is full"), published_folder(folder / "out") as temporary:
        temporary.mkdir()
        (temporary / "first").write_text("whole")
        WRITERS["torch"](temporary / "second")
    assert list(folder.iterdir()) == []


def test_other_errors_pass(tmp_path, disk):
    with pytest.raises(RuntimeError, match="a bug"), published(tmp_path / "out"):
        raise RuntimeError("a bug")
    full = disk(8)
    (full / "filling").write_bytes(bytes(8 * 1024))
    with pytest.raises(KeyError), published(full / "out"):
        raise KeyError("a bug, on a full disk too")


@pytest.mark.parametrize("kibibytes", [24, 200])
def test_training(disk, random_nano, tmp_path, kibibytes):
    """Too small for the first adapter, and for the checkpoint; with room the run goes on."""
    work = disk(kibibytes)
    result = run("train", TRAIN, model=random_nano, work=work, out=tmp_path / "out")
    assert result.exit_code == 1
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert f"error: {work}/" in error
    assert "the disk is full" in error
    assert "Traceback" not in result.output
    for checkpoint in work.glob("*/resume/checkpoint-*"):
        assert checkpoints.fault(checkpoint) is None
    for adapter in work.glob("*/adapters/step_*"):
        loading.check_adapter(adapter, random_nano)
    assert not (tmp_path / "out").exists()
    disk(8_000)
    assert run("train", TRAIN, model=random_nano, work=work, out=tmp_path / "out").exit_code == 0
    assert (tmp_path / "out/metrics.jsonl").read_text().count("\n") == TRAIN["train"]["steps"]


def test_rollouts_of_a_training_step(disk, tmp_path):
    """One line, and no file of the step; with room it is written."""
    folder = disk(8)
    rows = [dict.fromkeys(COLUMNS) | {"step": 3, "task_logprobs": NUMBERS[:5000].tolist(), "row": 0}]
    keeper = RolloutKeeper(tmp_path, {3: step_file(folder / "rollouts", 3)}, {})
    with pytest.raises(InputError, match=r"step_3\.parquet: the disk is full.*make room") as caught:
        keeper.write(3, rows)
    assert len(str(caught.value).splitlines()) == 1
    assert not [path for path in folder.rglob("*") if path.is_file()]
    disk(800)
    keeper.write(3, rows)
    assert len(files.read_parquet(keeper.files[3])) == 1


def test_a_checkpoint_in_parts(monkeypatch, tmp_path):
    """torch reports what failed in any of the processes as no Exception at all."""

    def fail(self, model, trial):
        raise CheckpointException("", {1: (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), None)})

    monkeypatch.setattr(Trainer, "_save_checkpoint", fail)
    monkeypatch.setattr(Trainer, "_get_output_dir", lambda self, trial: str(tmp_path / "resume"))
    trainer = object.__new__(checkpoints.AtomicCheckpoints)
    trainer.args = SimpleNamespace(should_save=True)
    trainer.accelerator = SimpleNamespace(wait_for_everyone=lambda: None)
    with pytest.raises(InputError, match=r"resume: the disk is full"):
        trainer._save_checkpoint(None, None)


def test_parts_that_are_joined(disk, site):  # noqa: F811
    folder = disk(600)
    with pytest.raises(InputError, match=r"model\.gguf: the disk is full"):
        sources.build(SOURCE, folder / "model")
    assert list(folder.iterdir()) == []


def test_a_gguf_file_that_is_converted(disk, tmp_path):
    pytest.importorskip("gguf", reason="gguf is not installed: make smollm2")
    from test_gguf import source_of, write

    folder = disk(600)
    write(tmp_path / "a.gguf", "qwen2")
    with pytest.raises(InputError, match="model: the disk is full"):
        sources.build(source_of(tmp_path / "a.gguf"), folder / "model")
    assert list(folder.iterdir()) == []


def test_rollouts(disk, random_nano, tmp_path):
    """What was sampled before the disk was full is kept."""
    folder = disk(60)
    block = {"seed": 0, "step": 0, "adapter": None} | CELLS | PLAIN
    blocks = {str(folder / f"{n}.parquet"): [block | {"rollouts": n}] for n in (2, 3, 4)}
    model = POLICY | {"keep_thinking": True}
    spec = {"model": model, "engine": ENGINE, "evaluation": EVALUATION, "texts": {}, "files": blocks}
    filling = folder / "filling"
    filling.write_bytes(bytes(4096 * 9))
    result = run("rollout", spec, model=random_nano, work=folder / "work")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith(f"error: {folder}/")
    assert "the disk is full" in result.stderr.splitlines()[-1]
    for path in folder.rglob("*.parquet"):
        files.read_parquet(path)
    kept = len(list(folder.glob("work/*.parquet")))
    assert kept < len(blocks)
    filling.unlink()
    disk(8_000)
    result = run("rollout", spec, model=random_nano, work=folder / "work")
    assert result.exit_code == 0
    assert f"in {len(blocks) - kept} cells" in result.stderr


def test_tables(disk, tmp_path):
    folder = disk(8)
    table = tables.reproduction(
        {(0, step): write_scores(tmp_path / f"{step}.parquet", step) for step in (0, 8)}, LABELS
    )
    with pytest.raises(InputError, match=r"reproduction.csv: the disk is full"):
        tables.write(table, folder / "reproduction.csv")
    assert list(folder.iterdir()) == []
