"""Where everything lies that the workflow makes, relative to the repository root, and what its logs are called.

`seed`, `step` and `key` may be wildcards of a rule.
"""

from __future__ import annotations

from confessions import tasks
from confessions.config import Config
from confessions.runtime import outside

CALIBRATED = ("instructions", "programming")  # tasks of which the workflow makes calibrations
STEPS_A_LOG = 5  # of training rollouts, for `inspect view`


def model_folder(key: str) -> str:
    return f"results/models/{key}"


def calibration_file(key: str, task: str = "instructions") -> str:
    """The calibration of a model: of `instructions`, or of another task in a folder of its own."""
    folder = f"results/calibrations/{key}" if task == "instructions" else f"results/calibrations/{key}/{task}"
    return f"{folder}/calibration.json"


def frozen_files(key: str) -> list[str]:
    """Answers of a model to keep, a file for each part of the kinds."""
    folder = calibration_file(key).rpartition("/")[0]
    return [f"{folder}/frozen_{task}.parquet" for task in tasks.names() if task.startswith("instructions")]


def results_folder(config: Config) -> str:
    """Folder of the active experiment."""
    return f"results/{config.experiment}"


def rollout_work(config: Config) -> str:
    """Folder in which finished blocks of rollouts are kept, also behind a job that was cut off."""
    return f"{results_folder(config)}/work/rollouts"


def run_folder(config: Config, seed: int | str) -> str:
    """Folder of one training run."""
    return f"{results_folder(config)}/seed{seed}"


def metrics_file(config: Config, seed: int | str) -> str:
    """A line for each step of a training run."""
    return f"{run_folder(config, seed)}/train/metrics.jsonl"


def adapter_folder(config: Config, seed: int | str, step: int | str) -> str:
    return f"{run_folder(config, seed)}/train/adapters/step_{step}"


def checkpoint_model(config: Config, seed: int | str, step: int | str) -> str:
    """Folder of a checkpoint where every weight is trained, from step 1 on."""
    return f"{run_folder(config, seed)}/train/models/step_{step}"


def training_rollouts(config: Config, seed: int | str) -> str:
    """Folder of the rollouts that a policy was trained on, a file a step."""
    return f"{run_folder(config, seed)}/train/training_rollouts"


def rollout_file(config: Config, seed: int | str, step: int | str, probe: str = "") -> str:
    """Every cell of one checkpoint, or those of a probe."""
    return f"{run_folder(config, seed)}/rollouts/{_of_step(step, probe)}"


def score_file(config: Config, seed: int | str, step: int | str, probe: str = "") -> str:
    return f"{run_folder(config, seed)}/scores/{_of_step(step, probe)}"


def _of_step(step: int | str, probe: str) -> str:
    return f"step_{step}_{probe}.parquet" if probe else f"step_{step}.parquet"


def survey_file(config: Config, seed: int, step: int) -> str:
    """Rollouts of the survey: one file, or where checkpoints are models one for each that is surveyed."""
    name = "rollouts" if config.active.train.lora else f"seed{seed}_step{step}"
    return f"{results_folder(config)}/survey/{name}.parquet"


def model_rollout_file(config: Config, key: str, probe: str = "") -> str:
    """A model that is measured as it is; or a probe of it."""
    return f"{results_folder(config)}/models/{key}/{_of_probe(probe)}rollouts.parquet"


def model_score_file(config: Config, key: str, probe: str = "") -> str:
    return f"{results_folder(config)}/models/{key}/{_of_probe(probe)}scores.parquet"


def _of_probe(probe: str) -> str:
    return f"{probe}_" if probe else ""


def seeded_rollout_file(config: Config, key: str, view: str) -> str:
    """A model of the sweep; `view` says how turn 2 sees its reasoning."""
    return f"{results_folder(config)}/seeding/{key}/{view}.parquet"


def seeded_score_file(config: Config, key: str, view: str) -> str:
    return f"{results_folder(config)}/seeding/{key}/{view}_scores.parquet"


def log_folder(config: Config) -> str:
    """Logs for `inspect view`."""
    return f"{results_folder(config)}/logs"


def judge_check_file(config: Config) -> str:
    """The fixed set of answers with the judge's verdicts."""
    return f"{results_folder(config)}/judge_check.parquet"


def log_name(prefix: str, condition: str, variant: str) -> str:
    """File of one cell's log for `inspect view`."""
    return f"{prefix}-{outside.short(condition)}-{outside.short(variant)}.eval"


def training_logs(config: Config, seed: int) -> dict[str, list[int]]:
    """Names of the logs of a run's training rollouts, each with its first and last step."""
    last = config.active.train.steps
    spans = [[first, min(first + STEPS_A_LOG - 1, last)] for first in range(1, last + 1, STEPS_A_LOG)]
    prefix, width = f"{config.experiment}-seed{seed}-training", len(str(last))
    return {f"{prefix}-steps{first:0{width}}-{end:0{width}}.eval": [first, end] for first, end in spans}
