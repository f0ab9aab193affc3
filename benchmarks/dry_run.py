"""How long Snakemake takes to plan 1,000 cells, and in how much memory: `python benchmarks/dry_run.py`.

20 trained policies (seeds) of 5 checkpoints and 10 cells (5 conditions, 2 wordings) each, and 20 models on the scale
axis: config.yaml with the lists made longer. `--shards 20`: the policies' rollouts in as many jobs. Nothing is run.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parent.parent


class Measured(NamedTuple):
    cells: int
    jobs: int
    seconds: float
    cpu_seconds: float
    gibibytes: float


def larger(config: dict[str, Any], models: int, shards: int = 1) -> dict[str, Any]:
    """What is laid over config.yaml: so many models on the scale axis, and as many trained policies."""
    added = {f"model-{n}": config["models"]["qwen3-8b"] | {"label": f"Model {n}"} for n in range(models)}
    experiment = {"seeds": list(range(models)), "scale": list(added), "ladder": [], "evaluation": {"shards": shards}}
    return {"models": added, "experiments": {"reproduction": experiment}}


def measure(models: int = 20, shards: int = 1) -> Measured:
    """A dry run of all of it in a process of its own; raises CalledProcessError where it fails."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    overlay, experiment = larger(config, models, shards), config["experiments"]["reproduction"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "larger.yaml"
        file.write_text(yaml.safe_dump(overlay))
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "-n",
            "--directory",
            folder,
            "--configfile",
            str(ROOT / "config.yaml"),
        ]
        command += [str(file), "--config", "experiment=reproduction"]
        start = time.monotonic()
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
            said = run.stdout.read()
            _, status, used = os.wait4(run.pid, 0)  # of this process alone, not of all that ran before it
            run.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - start
    if run.returncode:
        raise subprocess.CalledProcessError(run.returncode, command, said)
    (total,) = {int(line.split()[1]) for line in said.splitlines() if line.startswith("total ")}
    cells = len(experiment["train"]["checkpoint_fractions"])
    for axis in ("conditions", "variants"):
        cells *= len(experiment["evaluation"][axis])
    return Measured(models * cells, total, seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--shards", type=int, default=1)
    found = measure(**vars(parser.parse_args()))
    print(f"{found.cells} cells, {found.jobs} jobs: {found.seconds:.1f} s ({found.cpu_seconds:.1f} s of CPU), "
          f"{found.gibibytes:.2f} GiB")  # fmt: skip
