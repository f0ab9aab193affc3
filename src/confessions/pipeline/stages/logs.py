"""Rollouts and scores as Inspect logs, all of a job in one process."""

from pathlib import Path

from tqdm import tqdm

from confessions.pipeline.inspect_logs import write_logs, write_training_logs
from confessions.pipeline.stages import Block
from confessions.runtime import provenance
from confessions.runtime.errors import Say


def run(spec: Block, out: Path, say: Say) -> None:
    """`spec["checkpoints"]` lists rollouts, scores, prefix (of the logs' names) and labels of each checkpoint,
    `spec["training"]` the folder of rollouts, the logs (specs.training_logs) and labels of each training run."""
    checkpoints, runs = spec["checkpoints"], spec["training"]
    experiment = (checkpoints + runs)[0]["labels"]["experiment"]
    sources = [[Path(checkpoint[name]) for name in ("rollouts", "scores")] for checkpoint in checkpoints]
    folders = [Path(run["rollouts"]) for run in runs]
    read = [path for paths in (*sources, folders) for path in paths]
    job = provenance.begin("write-logs", spec, read, experiment=experiment)
    made: dict[Path, list[Path]] = {}
    for checkpoint, files in zip(tqdm(checkpoints, desc="Inspect logs", unit="checkpoint"), sources, strict=True):
        made |= dict.fromkeys(write_logs(*files, out, checkpoint["labels"], checkpoint["prefix"]), files)
    for run, folder in zip(runs, folders, strict=True):
        logs = tqdm(run["logs"].items(), desc="Inspect logs of training", unit="log")
        made |= write_training_logs(folder, out, run["labels"], logs)
    job.publish(out, made, experiment)
    say(f"{len(made)} logs in {out}")
