"""What goes on beside the steps of a training run: its log, what is kept of it, and the alarms."""

import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from transformers import TrainerCallback

from confessions.runtime.errors import InputError
from confessions.runtime.files import published, published_folder, remove, room_for
from confessions.training.counted import CALLED, COUNTS
from confessions.training.kept_rollouts import write_step

SLOW = 5  # times the first step's seconds: neighbours, not the lengths of rollouts, do that
SHOWN = ("judge_fooled", "truly_correct", "checked")
MEANS = tuple(
    f"{span}_{name}"
    for name in ("reward_mean", "reward_std", "advantage_std", "gradient_share", "length_mean", "kl", "clip_fraction")
    for span in ("task", "confession")
)
MORE = ("one_class_kinds", "claim_surprise", "loss", "grad_norm", "learning_rate")
GAPS = ("sampler_gap_mean", "sampler_gap_p99", "sampler_gap_max")
GRADIENT_SHARE, RECOVERED = 0.5, 0.75  # of a step's rollouts; from the second on, an alarm may be given again
GAP_BOUND = 0.02  # nats a token, on average; beyond it the sampler is not the policy that is trained


def metrics_row(logs: Mapping[str, float], rates: Sequence[str] = ()) -> dict[str, Any]:
    """One line of metrics.jsonl out of an entry of the trainer's log: counts of the step's n rollouts, with those that
    the task counts beside (`rates`), means, the two claim metrics derived from the counts, and where the step's time
    went."""
    logs = {CALLED.get(name, name): value for name, value in logs.items()}
    row: dict[str, Any] = {"step": logs["step"]} | {name: round(logs[name]) for name in (*COUNTS, *rates)}
    full, none, met, unmet = (row[k] for k in ("full_given_met", "none_given_unmet", "n_met", "n_unmet"))
    row["claim_match"] = (full + none) / (met + unmet)
    row["balanced_claim_accuracy"] = (full / met + none / unmet) / 2 if met and unmet else None
    row |= {name: logs.get(name) for name in (*MEANS, *GAPS, *MORE)}
    parts = {name.removeprefix("seconds_"): logs[name] for name in logs if name.startswith("seconds_")}
    row["timeline"] = {name: round(seconds, 3) for name, seconds in parts.items()}
    return row | {"seconds": round(logs["seconds"], 3)}


class MetricsLog(TrainerCallback):
    """Appends a line a step to metrics.jsonl and shows progress.

    The trainer's own log, which every checkpoint holds, is the truth: a resumed run writes the file anew from it, so
    that lines of steps that will be repeated, and half a line, are gone.
    """

    def __init__(self, file: Path, rates: Sequence[str] = ()):
        self.file, self.rates, self.started, self.bar = file, rates, time.monotonic(), None

    def on_train_begin(self, args, state, control, **_: Any) -> None:
        rows = [metrics_row(logs, self.rates) for logs in state.log_history if "n" in logs]
        with published(self.file) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))
        self.started = time.monotonic()
        self.bar = tqdm(total=state.max_steps, initial=state.global_step, desc="training", unit="step")

    def on_log(self, args, state, control, logs: dict[str, float], **_: Any) -> None:
        if "n" not in logs:  # the summary at the end
            return
        now = time.monotonic()
        entry = state.log_history[-1]
        entry["seconds"], self.started = now - self.started, now
        row = metrics_row(entry, self.rates)
        with room_for(self.file), self.file.open("a") as stream:
            stream.write(json.dumps(row) + "\n")
        self.bar.set_postfix({name: f"{row[name] / row['n']:.2f}" for name in SHOWN}, refresh=False)
        self.bar.update()

    def close(self) -> None:
        """End the bar's line, so that what is said next, of an error too, stands on its own."""
        if self.bar is not None:
            self.bar.close()


def above_the_bar(line: str) -> None:
    """Say a line while a progress bar is shown."""
    tqdm.write(line, file=sys.stderr)


class SlowStep(TrainerCallback):
    """Says once, when a step has taken SLOW times as long as the first of this process, why that may be."""

    def __init__(self, say: Callable[[str], None]):
        self.say: Callable[[str], None] | None = say
        self.began, self.first = 0.0, 0.0

    def on_step_begin(self, args, state, control, **_: Any) -> None:
        self.began = time.monotonic()

    def on_step_end(self, args, state, control, **_: Any) -> None:
        seconds = time.monotonic() - self.began
        if not self.first:
            self.first = seconds
        elif self.say and seconds >= SLOW * self.first:
            self.say(
                f"step {state.global_step} took {seconds:.1f} s, the first one {self.first:.1f} s: other processes may "
                "share these cores (`top` shows them), or its rollouts are much longer"
            )
            self.say = None


class GapWatch(TrainerCallback):
    """Says when the sampler's log-probabilities have left the trainer's by more than GAP_BOUND, once each time. A step
    without a gap, as no token was compared, tells nothing."""

    def __init__(self, say: Callable[[str], None]):
        self.say, self.beyond = say, False

    def on_log(self, args, state, control, logs: dict[str, float], **_: Any) -> None:
        gap = logs.get("sampler_gap_mean")
        if gap is None or math.isnan(gap):
            return
        if gap > GAP_BOUND and not self.beyond:
            self.say(
                f"step {state.global_step}: the sampler's log-probabilities are {gap:.3g} nats a token from the "
                f"trainer's (bound {GAP_BOUND}): it samples another policy than the one that is trained; "
                "lower train.learning_rate, or set train.engine: transformers"
            )
        self.beyond = gap > GAP_BOUND


def rewind(kept: Mapping[int, Path], step: int, run: Path) -> None:
    """Remove what the folder `run` holds of steps after `step`, from which training goes on: they are done again, and
    on a GPU may come out otherwise. Raises InputError where something of a step up to it is missing.

    `kept` names a file or a folder for each step.
    """
    for at, path in kept.items():
        if at > step:
            remove(path)
        elif not path.exists():
            raise InputError(f"{path}: missing, and training is beyond it; delete {run} to train again")


class RolloutKeeper(TrainerCallback):
    """Keeps the rollouts of each step, before its gradient; every step is there once, whatever was killed in between.

    `named` are the columns that name the run.
    """

    def __init__(self, run: Path, files: Mapping[int, Path], named: Mapping[str, Any]):
        self.run, self.files, self.named = run, files, named

    def on_train_begin(self, args, state, control, **_: Any) -> None:
        rewind(self.files, state.global_step, self.run)

    def write(self, step: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write a step's rows. Raises InputError when the disk is full."""
        write_step([{**self.named, "step": step, **row} for row in rows], self.files[step])


class GradientWatch(TrainerCallback):
    """Says when fewer than GRADIENT_SHARE of a step's rollouts have a gradient in a span, once until RECOVERED do."""

    def __init__(self, say: Callable[[str], None]):
        self.say, self.low = say, {"task": False, "confession": False}

    def on_log(self, args, state, control, logs: dict[str, float], **_: Any) -> None:
        for span, was_low in self.low.items():
            trained = logs.get(f"{span}_length_mean", 1.0) > 0  # a stored answer is not
            share = logs.get(f"{span}_gradient_share", 1.0) if trained else 1.0
            if share < GRADIENT_SHARE and not was_low:
                self.say(
                    f"step {state.global_step}: {share:.0%} of the rollouts have a gradient in the {span} span (alarm "
                    f"below {GRADIENT_SHARE:.0%}): the others' rewards are equal within their groups, as those of a "
                    "constant are; raise train.generations or the sampling temperature, or look at what is sampled"
                )
            self.low[span] = share < (RECOVERED if was_low else GRADIENT_SHARE)


WATCHES = (SlowStep, GapWatch, GradientWatch)


class Keeper(TrainerCallback):
    """Keeps the policy after the steps of `folders`; step 0 is the untrained one.

    `save` writes it into a folder, or takes its part in gathering it where it gets None (in every process but the
    first).
    """

    def __init__(
        self, run: Path, folders: Mapping[int, Path], save: Callable[[torch.nn.Module, Path | None], None], main: bool
    ):
        self.run, self.folders, self.save, self.main = run, folders, save, main

    def _keep(self, model: torch.nn.Module, step: int) -> None:
        if step not in self.folders:
            return
        with published_folder(self.folders[step]) if self.main else nullcontext() as temporary:
            self.save(model, temporary)

    def on_train_begin(self, args, state, control, model: torch.nn.Module, **_: Any) -> None:
        if state.global_step == 0:
            self._keep(model, 0)
        if self.main:
            rewind(self.folders, state.global_step, self.run)

    def on_step_end(self, args, state, control, model: torch.nn.Module, **_: Any) -> None:
        self._keep(model, state.global_step)
