"""Training runs and their rollouts without Snakemake, in one process: vLLM starts once for all of them.

For a machine that one has for an hour. What is made is what the workflow makes, file by file, and lies where it looks.
"""

import gc
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import torch

from confessions.config import Config
from confessions.engines import vllm
from confessions.models.sources import build
from confessions.pipeline import paths, specs
from confessions.pipeline.stages import rollout, train
from confessions.pipeline.subjects import subjects
from confessions.runtime import provenance
from confessions.runtime.errors import InputError, Say
from confessions.runtime.files import FIX, parse_json
from confessions.runtime.locks import alone
from confessions.training import tracking


def run(config: Config, names: Sequence[str], say: Say) -> None:
    """Make every checkpoint of each of `names`, "experiment:seed", and sample its rollouts, in order.

    Finished stages are not made again. Raises InputError for a name that there is not, and where a model has to be
    trained before.
    """
    runs = [_named(config, name) for name in names]
    with ExitStack() as stack:
        if any(one.active.engine == one.active.train.engine == "vllm" for one, _ in runs):
            stack.enter_context(vllm.kept(_largest([one for one, _ in runs])))
        for one, seed in runs:
            _run(one, seed, say)
            gc.collect()
            torch.cuda.empty_cache()


def _named(config: Config, name: str) -> tuple[Config, int]:
    """The configuration with the experiment chosen, and the seed."""
    experiment, _, seed = name.rpartition(":")
    if experiment not in config.experiments or not config.experiments[experiment].train:
        raise InputError(f"{name}: give experiment:seed, of an experiment of config.yaml that trains")
    one = config.model_copy(update={"experiment": experiment})
    if seed not in map(str, one.active.seeds):
        raise InputError(f"{name}: {experiment} has the seeds {', '.join(map(str, one.active.seeds))}")
    train = one.active.train
    others = one.judges or one.models[one.active.policy].source.kind == "post_trained"
    if others or train.processes > 1 or not train.lora:
        raise InputError(f"{name}: is of more than one process or model: run it by snakemake")
    return one, int(seed)


def _largest(configs: Sequence[Config]) -> dict[str, object]:
    """Settings of an engine that serves all of them, beside the training."""
    return {
        "gpu_memory_utilization": max(config.active.train.vllm.gpu_memory_utilization for config in configs),
        "max_model_len": max((config.active.vllm.max_model_len or 0) for config in configs) or None,
    }


def _run(config: Config, seed: int, say: Say) -> None:
    experiment, spec = config.active, specs.train_spec(config, seed)
    model, folder = Path(paths.model_folder(experiment.policy)), Path(paths.run_folder(config, seed))
    if not model.exists():
        made = specs.model_spec(config, experiment.policy).dump()
        job = provenance.begin("build-model", made)
        build(made["source"], model)
        job.publish(model.parent, {model: []}, model.name)
    published = folder / "train" / "config.json"
    trained = published.is_file() and parse_json(published.read_text(), str(published), FIX) == spec.dump()
    if not trained:
        os.environ.update(tracking.environment(experiment.train.report_to))
        with alone(folder / "work", say):
            train.run(spec, model, folder / "work", folder / "train", say)
        gc.collect()
        torch.cuda.empty_cache()
    cells = [(subject.rollouts, subject.cells) for subject in subjects(config, experiment.policy)]
    files = dict.fromkeys(file for file, block in cells if block.adapter and block.seed == seed)
    if todo := [file for file in files if not (trained and Path(file).exists())]:
        rollout.run(specs.rollout_spec(config, experiment.policy), model, folder.parent / "work/rollouts", say, todo)
        for file in todo:
            os.utime(file)  # it may be a link to what was sampled before, and is to be newer than what it is made from
