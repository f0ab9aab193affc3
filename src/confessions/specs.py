"""The block of the configuration that each stage depends on, as JSON values.

A rule takes its own block as its parameter: a change in one block re-runs what depends on it and no more.
"""

from __future__ import annotations

from typing import Any

from confessions.config import Config, LanguageModelJudge


def train_spec(config: Config, seed: int) -> dict[str, Any]:
    """What a training run depends on."""
    experiment = config.active
    return {
        "task": experiment.task,
        "policy": _engine_block(config, experiment.policy),
        "judge": _judge_block(config),
        "train": experiment.train.model_dump(),
        "seed": seed,
    }


def rollout_spec(config: Config) -> dict[str, Any]:
    """What the evaluation rollouts of a checkpoint depend on."""
    experiment = config.active
    return {
        "task": experiment.task,
        "policy": _engine_block(config, experiment.policy),
        "evaluation": experiment.evaluation.model_dump(),
    }


def score_spec(config: Config) -> dict[str, Any]:
    """What the scores of a rollout depend on."""
    return {"task": config.active.task, "judge": _judge_block(config)}


def model_spec(config: Config, key: str) -> dict[str, Any]:
    """What a model folder depends on."""
    return {"key": key, "source": config.models[key].source.model_dump()}


def model_folder(key: str) -> str:
    """Folder of a model, relative to the repository root."""
    return f"results/models/{key}"


def _engine_block(config: Config, key: str) -> dict[str, Any]:
    """What generation needs to know of a model; without its label, so that renaming it re-runs nothing."""
    model = config.models[key]
    return {"key": key, "dtype": model.dtype, "thinking": model.thinking}


def _judge_block(config: Config) -> dict[str, Any]:
    judge = config.active.judge
    block = judge.model_dump()
    if isinstance(judge, LanguageModelJudge):
        block["model"] = _engine_block(config, judge.model) | {"folder": model_folder(judge.model)}
    return block
