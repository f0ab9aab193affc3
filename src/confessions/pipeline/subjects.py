"""The subjects of an experiment: every checkpoint and model that rollouts are sampled of, and where these lie.

The specs, the rules, the plan, `confessions verify` and the names of logs all read this one list.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

from confessions import tasks
from confessions.config import Config
from confessions.pipeline import paths
from confessions.pipeline.blocks import Cells
from confessions.runtime import outside
from confessions.tasks.base import MASKED, PARAPHRASED, VIEWS

UNTRAINED = {"seed": 0, "step": 0, "adapter": None}  # how rollouts call a model as it is


@dataclass(frozen=True)
class Subject:
    """A checkpoint or a model, with what is sampled of it for one file.

    Two subjects have a file together where the survey of all checkpoints is one.
    """

    kind: Literal["checkpoint", "survey", "model", "probe", "seeded"]
    base: str  # key of the model that its engine loads, or that every weight was trained of
    weights: str  # folder of the model that its engine loads
    cells: Cells
    rollouts: str
    scores: str | None = None  # none of a survey
    logs: str | None = None  # prefix of its logs' names; None: it has none
    log_folder: str = ""
    labels: dict[str, Any] = field(default_factory=dict)

    @property
    def log_files(self) -> list[str]:
        """A log a condition and variant."""
        cells = product(self.cells.conditions, self.cells.variants) if self.logs else ()
        return [f"{self.log_folder}/{paths.log_name(self.logs, *cell)}" for cell in cells]


def subjects(config: Config, base: str | None = None) -> list[Subject]:
    """Of the active experiment: checkpoints, each before its probes and its survey; the axes' models, each before its
    probes; the sweep's. With `base`, those of one base model."""
    policy = config.active.policy if config.active.train else None
    models, seeded = ([key for key in keys if base in (None, key)] for keys in (config.compared, config.seeded))
    checkpoints = _checkpoints(config) if policy and base in (None, policy) else ()
    return [*checkpoints, *compared(config, models), *_seeded(config, seeded)]


def scored(config: Config) -> list[Subject]:
    """Those whose scores the default target makes: every checkpoint, the models of the axes, and the probes of both."""
    return [subject for subject in subjects(config) if subject.kind in ("checkpoint", "model", "probe")]


def calibrations(config: Config) -> list[tuple[str, str]]:
    """The models whose calibration, or answers kept with it, the active experiment reads, each with the task asked."""
    read = {*config.active.read_files.values(), *config.active.trained_on.values()}
    return [
        (key, task)
        for key, task in product(config.models, paths.CALIBRATED)
        if read & {paths.calibration_file(key, task), *(paths.frozen_files(key) if task == "instructions" else [])}
    ]


def survey_files(config: Config) -> list[str]:
    """Files of rollouts of the survey; none where there is none."""
    return list(dict.fromkeys(subject.rollouts for subject in subjects(config) if subject.kind == "survey"))


def policy_shards(config: Config) -> list[list[str]]:
    """The files of the policy's rollouts, spread over evaluation.shards jobs or as many as there are files: each, the
    largest first, goes to the job that has fewest rollouts so far. Where checkpoints are models, each of them has a
    job, and so has what it began as. No jobs where there is no policy."""
    if not config.active.train:
        return []
    sizes: dict[str, int] = {}
    by_weights: dict[str, dict[str, None]] = {}
    for subject in subjects(config, config.active.policy):
        sizes[subject.rollouts] = sizes.get(subject.rollouts, 0) + subject.cells.size
        by_weights.setdefault(subject.weights, {})[subject.rollouts] = None
    if not config.active.train.lora:
        return [list(files) for files in by_weights.values()]
    jobs: list[list[str]] = [[] for _ in range(config.active.evaluation.shards)]
    for file in sorted(sizes, key=sizes.__getitem__, reverse=True):
        min(jobs, key=lambda job: sum(sizes[other] for other in job)).append(file)
    return [[file for file in sizes if file in job] for job in jobs if job]


def sampled_model(config: Config, file: str) -> str:
    """The folder of the model that the rollouts of one of the policy's files are sampled from."""
    return next(s.weights for s in subjects(config, config.active.policy) if s.rollouts == file)


def run_labels(config: Config) -> dict[str, str]:
    """What tables and logs say of the active experiment and its policy."""
    experiment = config.active
    labels = {"experiment": config.experiment, "task": experiment.task}
    return labels | (_model_labels(config, experiment.policy) if experiment.policy else {})


def task_block(config: Config) -> dict[str, str]:
    """The task, the file of its problems where they are not its own, and a digest of one from outside the package."""
    return _task_block(config.active.task, config.active.problems)


def probe_task_block(config: Config, probe: str) -> dict[str, str]:
    """The same of a probe."""
    experiment, settings = config.active, config.active.evaluation.probes[probe]
    same = settings.task in (None, experiment.task)
    inherited = experiment.problems if same else None
    return _task_block(settings.task or experiment.task, settings.problems or inherited)


def _task_block(task: str, problems: str | None) -> dict[str, str]:
    block = {"task": task} | ({"problems": problems} if problems else {})
    return block | ({"task_digest": outside.digest(task)} if outside.is_path(task) else {})


def _model_labels(config: Config, key: str) -> dict[str, str]:
    return {"model": config.models[key].label, "source": config.origin(key).source.kind}


def _checkpoints(config: Config) -> Iterator[Subject]:
    """An adapter is asked of the policy, and step 0 is the policy; of any other step every weight may be trained."""
    experiment, evaluation, survey = config.active, config.active.evaluation, config.active.survey
    policy, train, labels = experiment.policy, experiment.train, run_labels(config)
    folder = paths.log_folder(config)
    cells = task_block(config) | {"conditions": evaluation.conditions, "rollouts": evaluation.rollouts}
    for seed, step in product(experiment.seeds, train.save_steps):
        at = {"seed": seed, "step": step, "adapter": paths.adapter_folder(config, seed, step) if train.lora else None}
        whole = step and not train.lora
        weights = paths.checkpoint_model(config, seed, step) if whole else paths.model_folder(policy)
        files = paths.rollout_file(config, seed, step), paths.score_file(config, seed, step)
        logs = f"{config.experiment}-seed{seed}-step{step}"
        grid = Cells(**at, **cells, variants=evaluation.variants)
        yield Subject("checkpoint", policy, weights, grid, *files, logs, folder, labels | {"seed": seed})
        for probe, asked in _probes(config).items():
            files = paths.rollout_file(config, seed, step, probe), paths.score_file(config, seed, step, probe)
            yield Subject("probe", policy, weights, Cells(**at, **asked), *files)
        if survey and step in (0, train.steps):
            plain = {"conditions": evaluation.conditions[:1], "variants": evaluation.variants[:1]}
            surveyed = Cells(**at, task=survey.task, rollouts=survey.rollouts, **plain)
            yield Subject("survey", policy, weights, surveyed, paths.survey_file(config, seed, step))


def compared(config: Config, keys: Iterable[str]) -> Iterator[Subject]:
    """Models as they are, in every variant: beside a policy that is trained without a system prompt, else in all
    conditions."""
    evaluation, labels = config.active.evaluation, run_labels(config)
    plain = _plain(config) | ({} if config.active.train else {"conditions": evaluation.conditions})
    cells = Cells(**UNTRAINED, **plain, variants=evaluation.variants)
    for key in keys:
        files = paths.model_rollout_file(config, key), paths.model_score_file(config, key)
        logs, own = f"{config.experiment}-{key}", labels | _model_labels(config, key)
        yield Subject("model", key, paths.model_folder(key), cells, *files, logs, paths.log_folder(config), own)
        for probe, asked in _probes(config).items():
            files = paths.model_rollout_file(config, key, probe), paths.model_score_file(config, key, probe)
            yield Subject("probe", key, paths.model_folder(key), Cells(**UNTRAINED, **asked), *files)


def _seeded(config: Config, keys: Iterable[str]) -> Iterator[Subject]:
    """Models of the sweep: the plain cell, in every view that turn 2 may have of the reasoning."""
    for key, view in product(keys, VIEWS):
        asked: dict[str, Any] = {"keep_thinking": view != MASKED}
        if view == PARAPHRASED:
            asked["paraphrases"] = dict(tasks.get(config.active.task).paraphrases)
        cells = Cells(**UNTRAINED, variants=config.active.evaluation.variants[:1], **_plain(config), **asked)
        files = paths.seeded_rollout_file(config, key, view), paths.seeded_score_file(config, key, view)
        yield Subject("seeded", key, paths.model_folder(key), cells, *files)


def _probes(config: Config) -> dict[str, dict[str, Any]]:
    """What each probe asks of whom it is about; what it leaves out is as in all evaluation."""
    evaluation = config.active.evaluation
    optional = ("answers", "met_share", "one_fault", "replaced", "max_task_tokens", "max_confession_tokens")
    return {
        name: probe_task_block(config, name)
        | {"conditions": [probe.condition or evaluation.conditions[0]], "variants": config.active.variants_of(probe)}
        | {"rollouts": probe.rollouts}
        | {key: value for key in optional if (value := getattr(probe, key)) not in (None, False)}
        for name, probe in evaluation.probes.items()
    }


def _plain(config: Config) -> dict[str, Any]:
    evaluation = config.active.evaluation
    return task_block(config) | {"conditions": evaluation.conditions[:1], "rollouts": evaluation.rollouts}
