"""The stress grid in one engine start against one process a cell: what sharing the engine, batches and answers saves.

    snakemake && python benchmarks/grid.py [--experiment demo] [--cells 10]

Both ways run the command of the workflow on the trained checkpoints of the experiment, and write the same cells; that
they hold the same tokens is checked. With --cells N only N cells, spread evenly over the grid, get a process of their
own, and their mean time stands for all. Prints seconds and the ratio (goal: at most 0.2).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import yaml
from tqdm import tqdm

from confessions import config
from confessions.pipeline import paths, specs


def sample(spec: dict, model: str, folder: Path) -> float:
    """Seconds of one process that samples `spec`."""
    command = [sys.executable, "-m", "confessions", "rollout", "--spec", json.dumps(spec)]
    command += ["--model", model, "--work", str(folder / "work")]
    start = time.perf_counter()
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    if run.returncode:
        sys.exit(run.stderr)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiment", default="demo")
    parser.add_argument("--cells", type=int, help="cells that get their own process (default: all)")
    arguments = parser.parse_args()
    settings = config.load(yaml.safe_load(Path("config.yaml").read_text()) | {"experiment": arguments.experiment})
    policy, seed = settings.active.policy, settings.active.seeds[0]
    whole = specs.rollout_spec(settings, policy).dump()
    grid = {paths.rollout_file(settings, seed, step): step for step in settings.active.train.save_steps}
    blocks = {step: whole["files"][file][0] for file, step in grid.items()}
    if missing := [b["adapter"] for b in blocks.values() if not Path(b["adapter"]).is_dir()]:
        sys.exit(f"error: {missing[0]}: no adapter here; run snakemake first")
    cells = [(step, c, v) for step, b in blocks.items() for c in b["conditions"] for v in b["variants"]]
    alone = cells[:: max(1, len(cells) // (arguments.cells or len(cells)))]

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files = {str(folder / f"step_{step}.parquet"): [block] for step, block in blocks.items()}
        together = sample(whole | {"files": files}, paths.model_folder(policy), folder)
        print(f"one engine start, {len(cells)} cells: {together:.1f} s", flush=True)
        seconds, equal = [], 0
        for step, condition, variant in tqdm(alone, desc="one process a cell", unit="cell"):
            file = folder / f"{step}-{condition}-{variant}.parquet"
            block = blocks[step] | {"conditions": [condition], "variants": [variant]}
            seconds.append(sample(whole | {"files": {str(file): [block]}}, paths.model_folder(policy), folder))
            shared = pd.read_parquet(folder / f"step_{step}.parquet").set_index(["condition", "variant"]).sort_index()
            pair = shared.loc[(condition, variant)]["confession_ids"], pd.read_parquet(file)["confession_ids"]
            equal += sum(list(a) == list(b) for a, b in zip(*pair, strict=True))
    separate = sum(seconds) / len(alone) * len(cells)
    n = len(alone) * blocks[cells[0][0]]["rollouts"]
    print(f"one process a cell: {separate:.1f} s (of {len(alone)} cells timed, each {min(seconds):.1f} to "
          f"{max(seconds):.1f} s)")  # fmt: skip
    print(f"rollouts with the same tokens both ways: {equal} of {n}")
    print(f"ratio: {together / separate:.3f}")


if __name__ == "__main__":
    main()
