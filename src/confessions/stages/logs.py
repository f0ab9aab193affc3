"""Rollouts and scores as Inspect logs, all of a job in one process."""

from pathlib import Path

from tqdm import tqdm

from confessions.inspect_logs import write_logs
from confessions.stages import Block, Say


def run(spec: Block, out: Path, say: Say) -> None:
    """`spec["checkpoints"]` lists rollouts, scores, prefix (of the logs' names) and labels of each checkpoint."""
    n = 0
    for checkpoint in tqdm(spec["checkpoints"], desc="Inspect logs", unit="checkpoint"):
        files = (Path(checkpoint[name]) for name in ("rollouts", "scores"))
        n += len(write_logs(*files, out, checkpoint["labels"], checkpoint["prefix"]))
    say(f"{n} logs in {out}")
