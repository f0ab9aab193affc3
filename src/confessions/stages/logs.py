"""Rollouts and scores as Inspect logs, all of a job in one process."""

from pathlib import Path

from tqdm import tqdm

from confessions import provenance
from confessions.inspect_logs import write_logs
from confessions.stages import Block, Say


def run(spec: Block, out: Path, say: Say) -> None:
    """`spec["checkpoints"]` lists rollouts, scores, prefix (of the logs' names) and labels of each checkpoint."""
    checkpoints = spec["checkpoints"]
    experiment = checkpoints[0]["labels"]["experiment"]
    sources = [[Path(checkpoint[name]) for name in ("rollouts", "scores")] for checkpoint in checkpoints]
    job = provenance.begin("write-logs", spec, [path for paths in sources for path in paths], experiment=experiment)
    made: dict[Path, list[Path]] = {}
    for checkpoint, files in zip(tqdm(checkpoints, desc="Inspect logs", unit="checkpoint"), sources, strict=True):
        made |= dict.fromkeys(write_logs(*files, out, checkpoint["labels"], checkpoint["prefix"]), files)
    job.publish(out, made, experiment)
    say(f"{len(made)} logs in {out}")
