"""What a killed training run resumes from: checkpoints that are there whole or not at all, and damage that shows.

transformers writes a checkpoint file by file under its final name and takes the newest such folder for whole
(accelerate's save_state does the same). So it is written aside here; a manifest with the hash of every file comes last,
and then the folder gets its name in one step.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.distributed.checkpoint.api import CheckpointException
from transformers import Trainer
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, get_last_checkpoint, sort_checkpoints

from confessions.runtime.files import parse_json, room_for, sync

MANIFEST = "manifest.json"
KEPT = 2  # the newest, and one to fall back on


class AtomicCheckpoints(Trainer):
    """A Trainer whose checkpoints appear whole. Mix it in before the trainer that it is for.

    Every process writes its part; process 0 publishes, and removes all but the newest KEPT. Raises InputError when the
    disk is full.
    """

    _aside: Path | None = None

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._aside or super()._get_output_dir(trial))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder, main = Path(self._get_output_dir(trial)), self.args.should_save
        aside = folder / ".partial"
        if main:
            shutil.rmtree(aside, ignore_errors=True)  # what a killed run left
        self.accelerator.wait_for_everyone()
        self._aside = aside
        try:
            with room_for(folder):
                try:
                    super()._save_checkpoint(model, trial)
                except CheckpointException as error:  # of a sharded model: no Exception by its class, and holds one
                    raise next(reason for reason, _ in error.failures.values()) from error
                self.accelerator.wait_for_everyone()
                if main:
                    publish(aside / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}", folder)
                    for old in sort_checkpoints(str(folder))[:-KEPT]:
                        shutil.rmtree(old, ignore_errors=True)
        finally:
            self._aside = None
            if main:
                shutil.rmtree(aside, ignore_errors=True)


def publish(written: Path, folder: Path) -> None:
    """Seal a checkpoint with its manifest and move it into `folder`."""
    hashes = {str(file.relative_to(written)): _sha256(file) for file in written.rglob("*") if file.is_file()}
    (written / MANIFEST).write_text(json.dumps(hashes, indent=2) + "\n")
    sync(written)
    shutil.rmtree(folder / written.name, ignore_errors=True)
    written.replace(folder / written.name)


def fault(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint; None when every file is as it was written."""
    try:
        hashes = parse_json((checkpoint / MANIFEST).read_text(encoding="utf-8"), MANIFEST)
    except (OSError, ValueError):
        return f"{MANIFEST} is missing or damaged"
    for name, expected in hashes.items():
        try:
            found = _sha256(checkpoint / name)
        except (OSError, ValueError):  # ValueError: no name of a file
            return f"{name} is missing or unreadable"
        if found != expected:
            return f"{name} is damaged"
    return None


def newest(folder: Path, say: Callable[[str], None]) -> str | None:
    """The newest whole checkpoint in `folder`. Damaged ones after it are named and moved aside: nothing that somebody
    may want to look at is destroyed, and nothing damaged is met again."""
    while found := get_last_checkpoint(str(folder)) if folder.exists() else None:
        wrong = fault(checkpoint := Path(found))
        if wrong is None:
            return found
        aside = folder / f"damaged-{checkpoint.name}"
        shutil.rmtree(aside, ignore_errors=True)
        checkpoint.replace(aside)
        say(f"warning: {checkpoint}: {wrong}; moved to {aside.name}, trying the checkpoint before it")
    return None


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
