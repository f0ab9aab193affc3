"""Trackers that a training run reports to, through transformers' own callbacks.

How a run is watched changes nothing that it makes: it stands in no spec, and another tracker makes nothing again. So it
comes to the run by an environment variable, which the workflow sets from `train.report_to`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from confessions.runtime.errors import InputError

if TYPE_CHECKING:
    from transformers import TrainingArguments  # the workflow, which reads `environment`, starts without it

VARIABLE = "CONFESSIONS_REPORT_TO"
PROJECT = "confessions"
FOLDER = "tensorboard"  # in the run's working folder


def environment(trackers: Sequence[str]) -> dict[str, str]:
    """What a process that trains is to find."""
    return {VARIABLE: ",".join(trackers)}


def report(arguments: TrainingArguments, name: str, work: Path) -> None:
    """Have a run report under `name`, which it keeps when it is resumed from `work`. Raises InputError for a tracker
    that is not installed."""
    trackers = [tracker for tracker in os.environ.get(VARIABLE, "").split(",") if tracker]
    for tracker in trackers:
        if find_spec(tracker) is None:
            raise InputError(f"train.report_to: {tracker} is not installed: pip install {tracker}, or leave it out")
    if not trackers:
        return
    arguments.report_to, arguments.run_name, arguments.project = trackers, name, PROJECT
    os.environ.setdefault("WANDB_PROJECT", PROJECT)
    # The same run goes on: each of the three has its own way to say so, and Trackio goes by the name.
    os.environ |= {"WANDB_RUN_ID": name, "WANDB_RESUME": "allow", "TENSORBOARD_LOGGING_DIR": str(work / FOLDER)}
