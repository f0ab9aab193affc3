"""Dual-span training of a policy: its checkpoints, rollouts and metrics out of a model folder."""

from pathlib import Path

from confessions.engines import vllm
from confessions.pipeline.blocks import TrainSpec
from confessions.pipeline.stages.judges import make_judge
from confessions.runtime import provenance
from confessions.runtime.errors import Say
from confessions.training import run as training
from confessions.training.base import Base


def run(spec: TrainSpec, model: Path, work: Path, out: Path, say: Say) -> None:
    settings, task = spec.train, spec.get_task()
    task.specs("train")  # a file of them that is not as it should be is found now
    task.ready()
    read = (settings.warm_start and settings.warm_start.answers, settings.answers)
    answers = {Path(file): None for file in read if file}
    inputs = [model, *spec.judge_folders, *([task.problems] if task.problems else []), *answers]
    job = provenance.begin("train", spec.dump(), inputs, [spec.seed])
    processes = training.join(settings)  # before a model is loaded
    # Another configuration or another base model never goes on from this one's checkpoints.
    base = Base(model, spec.policy.dtype, spec.policy.thinking, spec.policy.key)
    known = {**provenance.content(task.problems), **{str(file): provenance.describe(file).digest for file in answers}}
    work = work / training.config_hash({**spec.dump(), "base": base.fingerprint, **known})
    judge = make_judge(spec.judge, task)
    training.run(settings, spec.seed, task, judge, base, work, say)
    if processes.is_main_process:
        training.publish(settings, spec.dump(), work, out, say)
        checkpoints = training.checkpoint_folders(settings, out).values()
        made = [*checkpoints, *(out / name for name in (training.FOLDER, "metrics.jsonl", "config.json"))]
        job.publish(out, dict.fromkeys(made, inputs))
    if not vllm.running():  # it is one of a group
        processes.destroy_process_group()
