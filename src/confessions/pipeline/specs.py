"""The spec of each stage, made of the configuration.

A rule takes its own spec as its parameter: a change in one block re-runs what depends on it and no more.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from confessions import prompts, tasks
from confessions.analysis import catalogue
from confessions.config import Config, Inspect, LanguageModelJudge, OwnJudge, PostTrained
from confessions.pipeline import paths
from confessions.pipeline.blocks import (
    CalibrationSpec,
    Cells,
    EvaluationSpec,
    LogsSpec,
    ModelSpec,
    PostTrainSpec,
    RolloutSpec,
    ScoreSpec,
    TrainSpec,
)
from confessions.pipeline.subjects import run_labels, scored, subjects, task_block
from confessions.runtime import outside
from confessions.runtime.errors import InputError

# Optional keys that are written at their default too, as they were when the first results were made. Any other is left
# out at its default: a key that is new changes no hash.
VLLM = {"gpu_memory_utilization", "max_model_len", "tensor_parallel_size", "enforce_eager", "cpu_cache_gib"}
WRITTEN = {
    "Nano": {"size"}, "Gguf": {"package", "path"}, "LanguageModelJudge": {"threshold", "min_mass", "batch_size"},
    "PostTrained": {"data", "seeding", "samples", "lora", "sampling", "max_new_tokens"},
    "Train": {"compile_layers", "engine"}, "TrainedSpans": {"task", "confession"}, "Span": {"advantages", "weight"},
    "TrainVllm": VLLM, "Vllm": VLLM, "Calibration": {"per_level", "lowest", "highest", "frozen"},
}  # fmt: skip


def train_spec(config: Config, seed: int) -> TrainSpec:
    """What a training run depends on."""
    experiment, train = config.active, config.active.train
    own = [train.confession_reward.claims, *(span.advantages for _, span in train.spans)]
    own = {path: outside.digest(path) for path in own if outside.is_path(path)}
    sampler = {"vllm": _written(train.vllm)} if train.engine == "vllm" else {}
    return TrainSpec(
        **task_block(config),
        policy=_loaded(config, experiment.policy),
        judge=_judge_block(config, {"kind": "transformers"}),  # beside the policy, vLLM would find its GPU taken
        train=_written(train, {"vllm", "report_to"}) | sampler,
        seed=seed,
        **({"digests": own} if own else {}),
    )


def rollout_spec(config: Config, key: str) -> RolloutSpec:
    """What the rollouts of one base model depend on: one engine start samples them all."""
    evaluation, model = config.active.evaluation, config.models[key]
    files: dict[str, list[Any]] = {}
    for subject in subjects(config, key):
        files.setdefault(subject.rollouts, []).append(subject.cells)
    sampling = evaluation.sampling or model.sampling
    return RolloutSpec(
        model=_loaded(config, key) | {"keep_thinking": model.keep_thinking},
        engine=engine_block(config),
        evaluation={name: getattr(evaluation, name) for name in EvaluationSpec.model_fields} | {"sampling": sampling},
        texts=_digests(block for blocks in files.values() for block in blocks),
        files=files,
    )


def _digests(cells: Iterable[Cells]) -> dict[str, dict[str, str]]:
    """Of the texts that these are shown, by name: one, or of a variant that tasks word in their own ways one each."""
    shown: dict[str, dict[str, dict[str, None]]] = {"conditions": {}, "variants": {}}
    for block in cells:
        for condition in block.conditions:
            shown["conditions"].setdefault(condition, {})[prompts.system_prompt(condition)] = None
        for variant in block.variants:
            shown["variants"].setdefault(variant, {})[tasks.get(block.task).wording_of(variant)] = None
    return {
        folder: {name: " ".join(map(prompts.digest, texts)) for name, texts in sorted(named.items())}
        for folder, named in shown.items()
    }


def score_spec(config: Config, base: str | None = None) -> ScoreSpec:
    """What the scores of a rollout depend on; with `base`, also those of the probes of that base model."""
    probed = [subject for subject in subjects(config, base) if subject.kind == "probe"] if base else []
    probes = {subject.scores: _of_task(subject.cells.dump()) for subject in probed}
    judge = _judge_block(config, engine_block(config))
    return ScoreSpec(**_of_task(task_block(config)), judge=judge, **({"probes": probes} if probes else {}))


def _of_task(block: dict[str, Any]) -> dict[str, Any]:
    """Without the file of problems: an instance is in its rollout."""
    return {key: block[key] for key in ("task", "task_digest") if key in block}


def calibration_spec(config: Config, key: str, task: str = "instructions") -> CalibrationSpec:
    """What the calibration of a model depends on. Answers are sampled as in evaluation."""
    experiment, evaluation, model = config.active, config.active.evaluation, config.models[key]
    sampling = evaluation.sampling or model.sampling
    if isinstance(model.source, Inspect):
        raise InputError(f"config.yaml: models.{key}: a model that Inspect asks has no calibration: name another")
    if sampling is None:
        raise InputError(
            f"config.yaml: experiments.{config.experiment}.evaluation.sampling: a calibration needs it: name it"
        )
    return CalibrationSpec(
        **({"task": task} if task != "instructions" else {}),
        model=_loaded(config, key) | {"source": _written(model.source)},
        engine=engine_block(config),
        sampling=sampling.model_dump() | {"max_new_tokens": evaluation.max_task_tokens},
        batch_size=evaluation.batch_size,
        seed=evaluation.seed,
        calibration=_written(experiment.calibration),
    )


def model_spec(config: Config, key: str) -> ModelSpec:
    """What a model folder depends on."""
    model = config.models[key]
    block = {"key": key, "source": _written(model.source)}
    if isinstance(model.source, PostTrained):
        return PostTrainSpec(**block, dtype=model.dtype, thinking=model.thinking)
    return ModelSpec(**block)


def logs_spec(config: Config) -> LogsSpec:
    """What the Inspect logs are made from: the rollouts that are scored, those of probes apart, and those that the
    policy was trained on."""
    return LogsSpec(
        checkpoints=[
            {"rollouts": s.rollouts, "scores": s.scores, "prefix": s.logs, "labels": s.labels}
            for s in scored(config)
            if s.logs
        ],
        training=[
            {
                "rollouts": paths.training_rollouts(config, seed),
                "logs": paths.training_logs(config, seed),
                "labels": run_labels(config) | {"seed": seed},
            }
            for seed in (config.active.seeds if config.active.train else ())
        ],
    )


def seeding_point(config: Config, key: str) -> dict[str, Any]:
    """What tells a model of the sweep from the others."""
    source = config.models[key].source
    return source.seeding.model_dump() | {"learning_rate": source.learning_rate, "training_seed": source.seed}


def checks_judge(config: Config) -> bool:
    """Whether there is such a set to judge: a language model as the judge, and a task with answers made by code."""
    return bool(catalogue.SOURCES["judge_check"](config))


def engine_block(config: Config) -> dict[str, Any]:
    """The engine that samples evaluation rollouts, and its settings."""
    experiment = config.active
    return {"kind": experiment.engine} | (_written(experiment.vllm) if experiment.engine == "vllm" else {})


def _loaded(config: Config, key: str) -> dict[str, Any]:
    model = config.models[key]
    return {"key": key, "dtype": model.dtype, "thinking": model.thinking}


def _judge_block(config: Config, engine: dict[str, Any]) -> dict[str, Any]:
    judge = config.active.judge
    block = _written(judge)
    if isinstance(judge, OwnJudge):
        block["digest"] = outside.digest(judge.path)
    if isinstance(judge, LanguageModelJudge):
        block["model"] = _loaded(config, judge.model) | {"folder": paths.model_folder(judge.model)}
        block["engine"], block["prompt"] = engine, prompts.judge_version(tasks.get(config.active.task).judge_text)
    return block


def _written(block: BaseModel, left_out: set[str] = frozenset()) -> dict[str, Any]:
    """A block of the configuration as a spec has it."""
    kept = {}
    for name, field in type(block).model_fields.items():
        value = getattr(block, name)
        always = field.is_required() or name in WRITTEN.get(type(block).__name__, ())
        if name not in left_out and (always or value != field.get_default(call_default_factory=True)):
            kept[name] = _written(value) if isinstance(value, BaseModel) else value
    return kept
