"""The block of the configuration that each stage depends on, as JSON values.

A rule takes its own block as its parameter: a change in one block re-runs what depends on it and no more.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from confessions import prompts, tasks
from confessions.config import REFERENCE, Config, Experiment, LanguageModelJudge, OwnJudge, PostTrained, TrainedSpans
from confessions.runtime import outside
from confessions.runtime.errors import InputError
from confessions.tasks.base import MASKED, PARAPHRASED, VIEWS, HasTwins

STEPS_A_LOG = 5  # of training rollouts, for `inspect view`


def train_spec(config: Config, seed: int) -> dict[str, Any]:
    """What a training run depends on."""
    experiment = config.active
    left_out = {"vllm"} if experiment.train.engine != "vllm" else set()
    if experiment.train.processes == 1:  # what was trained before this key existed stays what it is
        left_out.add("processes")
    if experiment.train.micro_batch_tokens is None:
        left_out.add("micro_batch_tokens")
    if experiment.train.spans == TrainedSpans():
        left_out.add("spans")
    own = [experiment.train.confession_reward.claims, *(span.advantages for _, span in experiment.train.spans)]
    own = {path: outside.digest(path) for path in own if outside.is_path(path)}
    return {
        **_task_block(experiment),
        "policy": _engine_block(config, experiment.policy),
        "judge": _judge_block(config, {"kind": "transformers"}),  # beside the policy, vLLM would find its GPU taken
        "train": experiment.train.model_dump(exclude=left_out),
        "seed": seed,
        **({"digests": own} if own else {}),
    }


def rollout_spec(config: Config, key: str) -> dict[str, Any]:
    """What the rollouts of one base model depend on: one engine start samples them all.

    `files` maps each file to be written to its blocks, one a checkpoint and task.
    """
    experiment, evaluation = config.active, config.active.evaluation
    files: dict[str, list[dict[str, Any]]] = {}
    if key == experiment.policy:
        for seed, step in product(experiment.seeds, experiment.train.save_steps):
            adapter = adapter_folder(config, seed, step) if experiment.train.lora else None
            checkpoint = {"seed": seed, "step": step, "adapter": adapter}
            cells = {**_task_block(experiment), "conditions": evaluation.conditions, "rollouts": evaluation.rollouts}
            files[rollout_file(config, seed, step)] = [checkpoint | cells | {"variants": evaluation.variants}]
            if experiment.survey and step in (0, experiment.train.steps):
                cells = {"task": experiment.survey.task, "rollouts": experiment.survey.rollouts}
                plain = {"conditions": evaluation.conditions[:1], "variants": evaluation.variants[:1]}
                files.setdefault(survey_file(config, seed, step), []).append(checkpoint | cells | plain)
    if key in config.compared:
        cells = {**_task_block(experiment), "conditions": evaluation.conditions[:1], "rollouts": evaluation.rollouts}
        base = {"seed": 0, "step": 0, "adapter": None}
        files[model_rollout_file(config, key)] = [base | cells | {"variants": evaluation.variants}]
    if key in config.seeded:
        cells = {**_task_block(experiment), "conditions": evaluation.conditions[:1], "rollouts": evaluation.rollouts}
        base = {"seed": 0, "step": 0, "adapter": None, "variants": evaluation.variants[:1]}
        paraphrases = {"paraphrases": dict(tasks.get(experiment.task).paraphrases)}
        for view in VIEWS:
            asked = {"keep_thinking": view != MASKED} | (paraphrases if view == PARAPHRASED else {})
            files[seeded_rollout_file(config, key, view)] = [base | cells | asked]
    blocks = [block for blocks in files.values() for block in blocks]
    used = {folder: sorted({name for block in blocks for name in block[folder]}) for folder in REFERENCE}
    model, sampling = config.models[key], evaluation.sampling or config.models[key].sampling
    return {
        "model": _engine_block(config, key) | {"keep_thinking": model.keep_thinking},
        "engine": engine_block(config),
        "evaluation": evaluation.model_dump(exclude={"conditions", "variants", "rollouts", "shards"})
        | {"sampling": sampling and sampling.model_dump()},
        "texts": {
            folder: {name: prompts.digest(prompts.text(folder, name)) for name in names}
            for folder, names in used.items()
        },
        "files": files,
    }


def policy_shards(config: Config) -> list[list[str]]:
    """The files of the policy's rollouts, spread over evaluation.shards jobs: each, the largest first, goes to the job
    that has fewest rollouts so far. Where checkpoints are models, each of them has a job, and so has what it began as.
    No jobs where there is no policy."""
    if not config.active.train:
        return []
    files = rollout_spec(config, config.active.policy)["files"]
    if not config.active.train.lora:
        by_model: dict[str, list[str]] = {}
        for file, (block, *_) in files.items():
            by_model.setdefault(_sampled(config, block), []).append(file)
        return list(by_model.values())
    sizes = {
        file: sum(len(block["conditions"]) * len(block["variants"]) * block["rollouts"] for block in blocks)
        for file, blocks in files.items()
    }
    jobs: list[list[str]] = [[] for _ in range(config.active.evaluation.shards)]
    for file in sorted(files, key=sizes.__getitem__, reverse=True):
        min(jobs, key=lambda job: sum(sizes[other] for other in job)).append(file)
    return [[file for file in files if file in job] for job in jobs]


def sampled_model(config: Config, file: str) -> str:
    """The folder of the model that the rollouts of one of the policy's files are sampled from."""
    block, *_ = rollout_spec(config, config.active.policy)["files"][file]
    return _sampled(config, block)


def _sampled(config: Config, block: dict[str, Any]) -> str:
    """An adapter is asked of the policy, and step 0 is the policy."""
    if config.active.train.lora or not block["step"]:
        return model_folder(config.active.policy)
    return checkpoint_model(config, block["seed"], block["step"])


def score_spec(config: Config) -> dict[str, Any]:
    """What the scores of a rollout depend on."""
    task = _task_block(config.active.model_copy(update={"problems": None}))  # an instance is in its rollout
    return task | {"judge": _judge_block(config, engine_block(config))}


def calibration_spec(config: Config, key: str) -> dict[str, Any]:
    """What the calibration of a model depends on. Answers are sampled as in evaluation."""
    experiment, model = config.active, config.models[key]
    evaluation = experiment.evaluation
    sampling = evaluation.sampling or model.sampling
    if sampling is None:
        raise InputError(
            f"config.yaml: experiments.{config.experiment}.evaluation.sampling: a calibration needs it: name it"
        )
    return {
        "model": _engine_block(config, key) | {"source": model_spec(config, key)["source"]},
        "engine": engine_block(config),
        "sampling": sampling.model_dump() | {"max_new_tokens": evaluation.max_task_tokens},
        "batch_size": evaluation.batch_size,
        "seed": evaluation.seed,
        "calibration": experiment.calibration.model_dump(),
    }


def calibration_file(key: str) -> str:
    """The calibration of a model, relative to the repository root."""
    return f"results/calibrations/{key}/calibration.json"


def frozen_files(key: str) -> list[str]:
    """Answers of a model to keep, a file for each part of the kinds."""
    folder = calibration_file(key).rpartition("/")[0]
    return [f"{folder}/frozen_{task}.parquet" for task in tasks.names() if task.startswith("instructions")]


def model_spec(config: Config, key: str) -> dict[str, Any]:
    """What a model folder depends on."""
    model = config.models[key]
    source = model.source.model_dump()
    for added in ("sha256", "size", "parts", "dtype", "answers", "examples"):
        if added in source and source[added] is None:  # what was made before these keys existed stays what it is
            del source[added]
    block = {"key": key, "source": source}
    if isinstance(model.source, PostTrained):
        block |= {"dtype": model.dtype, "thinking": model.thinking}
    return block


def model_folder(key: str) -> str:
    """Folder of a model, relative to the repository root."""
    return f"results/models/{key}"


def run_folder(config: Config, seed: int | str) -> str:
    """Folder of one training run."""
    return f"results/{config.experiment}/seed{seed}"


def adapter_folder(config: Config, seed: int | str, step: int | str) -> str:
    return f"{run_folder(config, seed)}/train/adapters/step_{step}"


def training_rollouts(config: Config, seed: int | str) -> str:
    """Folder of the rollouts that a policy was trained on, a file a step."""
    return f"{run_folder(config, seed)}/train/training_rollouts"


def training_logs(config: Config, seed: int) -> dict[str, list[int]]:
    """Names of the logs of a run's training rollouts, each with its first and last step."""
    last = config.active.train.steps
    spans = [[first, min(first + STEPS_A_LOG - 1, last)] for first in range(1, last + 1, STEPS_A_LOG)]
    prefix, width = f"{config.experiment}-seed{seed}-training", len(str(last))
    return {f"{prefix}-steps{first:0{width}}-{end:0{width}}.eval": [first, end] for first, end in spans}


def checkpoint_model(config: Config, seed: int | str, step: int | str) -> str:
    """Folder of a checkpoint where every weight is trained, from step 1 on."""
    return f"{run_folder(config, seed)}/train/models/step_{step}"


def rollout_file(config: Config, seed: int | str, step: int | str) -> str:
    """Every cell of one checkpoint."""
    return f"{run_folder(config, seed)}/rollouts/step_{step}.parquet"


def model_rollout_file(config: Config, key: str) -> str:
    """A model of the scale axis or the ladder: no system prompt, every variant."""
    return f"results/{config.experiment}/models/{key}/rollouts.parquet"


def seeded_rollout_file(config: Config, key: str, view: str) -> str:
    """A model of the sweep; `view` says how turn 2 sees its reasoning."""
    return f"results/{config.experiment}/seeding/{key}/{view}.parquet"


def seeding_point(config: Config, key: str) -> dict[str, Any]:
    """What tells a model of the sweep from the others."""
    source = config.models[key].source
    return source.seeding.model_dump() | {"learning_rate": source.learning_rate}


def judge_check_file(config: Config) -> str:
    """The fixed set of answers with the judge's verdicts."""
    return f"results/{config.experiment}/judge_check.parquet"


def checks_judge(config: Config) -> bool:
    """Whether there is such a set to judge: a language model as the judge, and a task with answers made by code."""
    return bool(config.judges) and isinstance(tasks.get(config.active.task), HasTwins)


def log_name(prefix: str, condition: str, variant: str) -> str:
    """File of one cell's log for `inspect view`."""
    return f"{prefix}-{outside.short(condition)}-{outside.short(variant)}.eval"


def survey_file(config: Config, seed: int, step: int) -> str:
    """Rollouts of the survey: one file, or where checkpoints are models one for each that is surveyed."""
    name = "rollouts" if config.active.train.lora else f"seed{seed}_step{step}"
    return f"results/{config.experiment}/survey/{name}.parquet"


def survey_files(config: Config) -> list[str]:
    """All of them; none where there is no survey."""
    experiment = config.active
    surveyed = product(experiment.seeds, (0, experiment.train.steps)) if experiment.survey else ()
    return list(dict.fromkeys(survey_file(config, *checkpoint) for checkpoint in surveyed))


def _task_block(experiment: Experiment) -> dict[str, Any]:
    """The task, the file of its problems where they are not its own, and a digest of one from outside the package."""
    own = {"task": experiment.task} | ({"problems": experiment.problems} if experiment.problems else {})
    return own | ({"task_digest": outside.digest(experiment.task)} if outside.is_path(experiment.task) else {})


def _engine_block(config: Config, key: str) -> dict[str, Any]:
    """What generation needs to know of a model; without its label, so that renaming it re-runs nothing."""
    model = config.models[key]
    return {"key": key, "dtype": model.dtype, "thinking": model.thinking}


def engine_block(config: Config) -> dict[str, Any]:
    """The engine that samples evaluation rollouts, and its settings."""
    experiment = config.active
    return {"kind": experiment.engine} | (experiment.vllm.model_dump() if experiment.engine == "vllm" else {})


def _judge_block(config: Config, engine: dict[str, Any]) -> dict[str, Any]:
    judge = config.active.judge
    block = judge.model_dump()
    if isinstance(judge, OwnJudge):
        block["digest"] = outside.digest(judge.path)
    if isinstance(judge, LanguageModelJudge):
        block["model"] = _engine_block(config, judge.model) | {"folder": model_folder(judge.model)}
        block["engine"], block["prompt"] = engine, prompts.judge_version(tasks.get(config.active.task).judge_text)
    return block
