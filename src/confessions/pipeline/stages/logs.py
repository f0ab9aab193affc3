"""Rollouts and scores as Inspect logs, all of a job in one process."""

from pathlib import Path

from tqdm import tqdm

from confessions.pipeline.blocks import LogsSpec
from confessions.pipeline.inspect_logs import write_logs, write_training_logs
from confessions.runtime import provenance
from confessions.runtime.errors import Say


def run(spec: LogsSpec, out: Path, say: Say) -> None:
    """Write the logs of every checkpoint and of every training run to the folder `out`."""
    experiment = [*spec.checkpoints, *spec.training][0].labels["experiment"]
    sources = [[Path(each.rollouts), Path(each.scores)] for each in spec.checkpoints]
    folders = [Path(run.rollouts) for run in spec.training]
    read = [path for paths in (*sources, folders) for path in paths]
    job = provenance.begin("write-logs", spec.dump(), read, experiment=experiment)
    made: dict[Path, list[Path]] = {}
    for each, files in zip(tqdm(spec.checkpoints, desc="Inspect logs", unit="checkpoint"), sources, strict=True):
        made |= dict.fromkeys(write_logs(*files, out, each.labels, each.prefix), files)
    for run, folder in zip(spec.training, folders, strict=True):
        logs = tqdm(run.logs.items(), desc="Inspect logs of training", unit="log")
        made |= write_training_logs(folder, out, run.labels, logs)
    job.publish(out, made, experiment)
    say(f"{len(made)} logs in {out}")
