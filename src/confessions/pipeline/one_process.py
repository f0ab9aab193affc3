"""Training runs, rollouts and a language model's verdicts without Snakemake, in one process: vLLM starts once for all.

For a machine that one has for an hour. What is made is what the workflow makes, file by file, and lies where it looks.
"""

import gc
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from os.path import exists
from pathlib import Path

import torch

from confessions.config import Config
from confessions.engines import vllm
from confessions.pipeline import paths, specs
from confessions.pipeline.blocks import CalibrationSpec, PostTrainSpec, RolloutSpec, ScoreSpec
from confessions.pipeline.stages import build, calibrate, post_train, rollout, score, train
from confessions.pipeline.subjects import Subject, calibrations, compared, subjects
from confessions.runtime.errors import InputError, Say
from confessions.runtime.files import FIX, parse_json
from confessions.runtime.locks import alone
from confessions.training import tracking


def run(config: Config, names: Sequence[str], say: Say) -> None:
    """Make every checkpoint of each of `names`, "experiment:seed", and sample its rollouts, in order; before them, of
    each name without a seed, sample the models that the experiment compares as they are. Where a language model judges,
    it does so too: elsewhere there may be no GPU for it.

    Finished stages are not made again. Raises InputError for a name that there is not.
    """
    runs = [_named(config, name) for name in names]
    for one, seed in runs:
        _calibrate(one, say)
        if seed is None:
            _compare(one, say)
    trained = [(one, seed) for one, seed in runs if seed is not None]
    with ExitStack() as stack:
        if any(one.active.engine == one.active.train.engine == "vllm" for one, _ in trained):
            stack.enter_context(vllm.kept(_largest([one for one, _ in trained])))
        for one, seed in trained:
            _run(one, seed, say)
            _free()


def _named(config: Config, name: str) -> tuple[Config, int | None]:
    """The configuration with the experiment chosen, and the seed; none where models are compared as they are."""
    experiment, colon, seed = name.rpartition(":") if ":" in name else (name, "", "")
    one = config.model_copy(update={"experiment": experiment}) if experiment in config.experiments else None
    if one is None or not (one.active.train if colon else one.compared):
        raise InputError(
            f"{name}: give experiment:seed, of an experiment of config.yaml that trains, or an experiment with models "
            "in its scale or ladder"
        )
    if colon and seed not in map(str, one.active.seeds):
        raise InputError(f"{name}: {experiment} has the seeds {', '.join(map(str, one.active.seeds))}")
    if colon and (one.active.train.processes > 1 or not one.active.train.lora):
        raise InputError(f"{name}: is of more than one process or trains every weight: run it by snakemake")
    return one, int(seed) if colon else None


def _largest(configs: Sequence[Config]) -> dict[str, object]:
    """Settings of an engine that serves all of them, beside the training."""
    return {
        "gpu_memory_utilization": max(config.active.train.vllm.gpu_memory_utilization for config in configs),
        "max_model_len": max((config.active.vllm.max_model_len or 0) for config in configs) or None,
    }


def _run(config: Config, seed: int, say: Say) -> None:
    experiment, spec = config.active, specs.train_spec(config, seed)
    model, folder = _built(config, experiment.policy, say), Path(paths.run_folder(config, seed))
    for judge in config.judges:
        _built(config, judge, say)
    published = folder / "train" / "config.json"
    trained = published.is_file() and parse_json(published.read_text(), str(published), FIX) == spec.dump()
    if not trained:
        os.environ.update(tracking.environment(experiment.train.report_to))
        with alone(folder / "work", say):
            train.run(spec, model, folder / "work", folder / "train", say)
        _free()
    found = [subject for subject in subjects(config, experiment.policy) if subject.cells.adapter]
    _sample(config, experiment.policy, [subject for subject in found if subject.cells.seed == seed], trained, Here(say))


def _calibrate(config: Config, say: Say) -> None:
    """Make the calibrations that the experiment reads and that are not there."""
    for key, task in calibrations(config):
        out = Path(paths.calibration_file(key, task))
        if not out.exists():
            model, spec = _built(config, key, say), specs.calibration_spec(config, key, task)
            _stages(config, say).calibrate(spec, model, out.parent)
            _free()


def _compare(config: Config, say: Say) -> None:
    for key in (*config.judges, *config.compared):
        _built(config, key, say)
    for key in config.compared:
        _sample(config, key, list(compared(config, [key])), True, _stages(config, say))
        _free()


def _built(config: Config, key: str, say: Say) -> Path:
    """The folder of a model, made where it is not there, and before it the model that it is trained from."""
    model, spec = Path(paths.model_folder(key)), specs.model_spec(config, key)
    if not model.exists():
        if isinstance(spec, PostTrainSpec):
            post_train.run(spec, _built(config, spec.source.base, say), model, say)
            _free()
        else:
            build.run(spec, model, say)
    return model


def _stages(config: Config, say: Say) -> "Here | Apart":
    """How a model is sampled that no engine is kept for."""
    return Apart() if config.active.engine == "vllm" else Here(say)


def _sample(config: Config, base: str, found: Sequence[Subject], done: bool, stages: "Here | Apart") -> None:
    """Rollouts of these subjects of a base model, and their scores where a language model judges; `done`: what is there
    is of the same weights."""
    model, work = Path(paths.model_folder(base)), Path(paths.rollout_work(config))
    files = dict.fromkeys(subject.rollouts for subject in found)
    if todo := [file for file in files if not (done and exists(file))]:
        stages.rollout(specs.rollout_spec(config, base), model, work, todo)
        for file in todo:
            os.utime(file)  # it may be a link to what was sampled before, and is to be newer than what it is made from
    scores = {subject.scores: subject.rollouts for subject in found if subject.scores and config.judges}
    if missing := {file: source for file, source in scores.items() if source in todo or not exists(file)}:
        stages.score(specs.score_spec(config, base), model, missing)


@dataclass(frozen=True)
class Here:
    """Stages in this process, by the engine that is kept."""

    say: Say

    def calibrate(self, spec: CalibrationSpec, model: Path, out: Path) -> None:
        calibrate.run(spec, model, out, self.say)

    def rollout(self, spec: RolloutSpec, model: Path, work: Path, files: Sequence[str]) -> None:
        rollout.run(spec, model, work, self.say, files)

    def score(self, spec: ScoreSpec, model: Path, scores: Mapping[str, str]) -> None:
        score.run(spec, [*map(Path, scores.values())], [*map(Path, scores)], self.say, model)


class Apart:
    """Stages as commands of their own: what an engine has of the GPU is free when its command ends."""

    def calibrate(self, spec: CalibrationSpec, model: Path, out: Path) -> None:
        self._run("calibrate", spec, model, "--out", str(out))

    def rollout(self, spec: RolloutSpec, model: Path, work: Path, files: Sequence[str]) -> None:
        self._run("rollout", spec, model, "--work", str(work), *files)

    def score(self, spec: ScoreSpec, model: Path, scores: Mapping[str, str]) -> None:
        pairs = [("--rollouts", rollouts, "--out", out) for out, rollouts in scores.items()]
        self._run("score-rollouts", spec, model, *chain.from_iterable(pairs))

    def _run(self, command: str, spec: CalibrationSpec | RolloutSpec | ScoreSpec, model: Path, *words: str) -> None:
        line = [sys.executable, "-m", "confessions", command, "--spec", spec.as_json(), "--model", str(model), *words]
        if code := subprocess.run(line, check=False).returncode:
            raise InputError(f"{command} of {model.name} ended with {code}, as said above; the same command goes on")


def _free() -> None:
    """Give back the memory of a model that is no longer used."""
    gc.collect()
    torch.cuda.empty_cache()
