"""What a training run loses to a neighbour on the same cores, with the bound on spinning threads and without it.

    python benchmarks/neighbour.py [--rounds 4] [--steps 4] [--patience 60] [--try NAME=VALUE ...]

Four runs of `confessions train` (the demo's model and settings, half its rollouts a step) are started: two in the
environment that the command makes for itself, two with libgomp's own spinning. All stand still but for those that are
measured, in turn: one alone and two together, of each kind, so that a machine whose speed drifts drifts for all.
Printed are steps a second of a run (medians over the rounds), and per round two ratios, as medians with their range:
alone with the bound over alone without it (goal: at least .9), and the speed of one of two runs over half of that of
one alone without the bound (goal: at least .8). --try measures variables of your own in place of the bound.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from confessions import config
from confessions.models.sources import build
from confessions.pipeline import specs

ROOT = Path(__file__).parent.parent
GOAL_ALONE, GOAL_SHARED = 0.9, 0.8
UNBOUND = {"GOMP_SPINCOUNT": "300000"}  # libgomp's own default; a variable that the user sets is left alone


class Run:
    """A training run that goes on for as long as it is wanted, and stands still while it is not measured."""

    def __init__(self, spec: dict, model: Path, folder: Path, environment: dict[str, str]):
        folder.mkdir()
        self.log, self.metrics = folder / "log", folder / "work"
        command = [sys.executable, "-m", "confessions", "train", "--spec", json.dumps(spec), "--model", str(model)]
        command += ["--work", str(self.metrics), "--out", str(folder / "out")]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=log)

    def __enter__(self) -> "Run":
        while not self.steps():  # the first step warms up
            time.sleep(0.1)
        self.pause()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def steps(self) -> int:
        """How many steps are done."""
        if self.process.poll() is not None:
            sys.exit(f"error: a run has ended: {self.log.read_text()[-2000:]}")
        return sum(file.read_bytes().count(b"\n") for file in self.metrics.glob("*/metrics.jsonl"))


def speed(runs: Sequence[Run], steps: int, patience: float) -> float:
    """Steps a second of a run, on average over `runs`, which go on together until each has done `steps` whole ones, or
    for `patience` seconds."""
    counts, times = [run.steps() for run in runs], [[] for _ in runs]
    start = time.monotonic()
    for run in runs:
        run.go_on()
    while min(map(len, times)) <= steps and time.monotonic() - start < patience:
        time.sleep(0.02)
        for i, run in enumerate(runs):
            if (n := run.steps()) > counts[i]:
                counts[i] = n
                times[i].append(time.monotonic())
    for run in runs:
        run.pause()
    elapsed = time.monotonic() - start
    return statistics.mean((len(t) - 1) / (t[-1] - t[0]) if len(t) > 1 else len(t) / elapsed for t in times)


def endless(settings: config.Config) -> dict:
    """The demo's block of a training run that does not end while it is measured, and whose steps stay alike."""
    changed = settings.model_dump()
    changed["experiment"] = "demo"
    changed["experiments"]["demo"]["train"] |= {
        "steps": 10_000, "prompts_per_step": 2, "learning_rate": 1e-9, "checkpoint_fractions": [0.0, 1.0],
    }  # fmt: skip
    return specs.train_spec(config.load(changed), 0).dump()


def shown(name: str, ratios: Sequence[float], goal: float) -> bool:
    """Print a ratio of all rounds against its goal; whether it is met."""
    ratio = statistics.median(ratios)
    met = "met" if ratio >= goal else "MISSED"
    print(f"{name}: {ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f}); goal: at least {goal}: {met}", flush=True)
    return ratio >= goal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=4, help="of each run in each measurement")
    parser.add_argument("--patience", type=float, default=60, help="seconds of a measurement, at most")
    parser.add_argument("--try", dest="tried", nargs="+", default=[], metavar="NAME=VALUE", help="instead of the bound")
    options = parser.parse_args()
    kinds = {"without": UNBOUND, "with": dict(pair.split("=", 1) for pair in options.tried)}
    settings = config.load(ROOT / "config.yaml")
    spec, found = endless(settings), {(kind, n): [] for kind in kinds for n in (1, 2)}
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        build(settings.models["nano"].source.model_dump(), folder / "model")
        runs = {
            kind: [stack.enter_context(Run(spec, folder / "model", folder / f"{kind}{n}", variables)) for n in (1, 2)]
            for kind, variables in kinds.items()
        }
        for number in range(options.rounds):
            for kind, n in found:
                found[kind, n].append(speed(runs[kind][:n], options.steps, options.patience))
            said = ", ".join(f"{n} {kind} {speeds[-1]:.3f}" for (kind, n), speeds in found.items())
            print(f"round {number + 1}, steps a second of each run: {said}; load {os.getloadavg()[0]:.1f}", flush=True)
    for kind in kinds:
        alone, two = (statistics.median(found[kind, n]) for n in (1, 2))
        print(f"{kind} the bound: {alone:.3f} steps a second alone, {two:.3f} each of two", flush=True)
    base = found["without", 1]
    pairs = zip(found["without", 2], base, strict=True)
    print(f"without it, one of two over half of one alone: {statistics.median([2 * b / a for b, a in pairs]):.2f}")
    alone = shown("alone, with over without", [w / a for w, a in zip(found["with", 1], base, strict=True)], GOAL_ALONE)
    pairs = zip(found["with", 2], base, strict=True)
    shared = shown("one of two with, over half of one alone without", [2 * w / a for w, a in pairs], GOAL_SHARED)
    sys.exit(not (alone and shared))


if __name__ == "__main__":
    main()
