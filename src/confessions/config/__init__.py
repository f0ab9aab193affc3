"""config.yaml as a strict, typed model, validated before any job: a class for each block, in the file of its part.

An unknown key, a wrong type or a value out of range is a ConfigError: one line with the key's path, the value
and the nearest known key. Nothing here imports torch or pandas, so `snakemake -n` stays instant.
"""

from confessions.config.evaluation import REFERENCE, Calibration, Evaluation, Vllm
from confessions.config.experiment import Config, Experiment, load
from confessions.config.file import ConfigError, read
from confessions.config.models import Folder, Gguf, Hub, Inspect, Lora, Model, Nano, PostTrained, Sampling
from confessions.config.strict import Strict
from confessions.config.training import (
    FallibleGrader,
    LabelTrusting,
    LanguageModelJudge,
    OwnJudge,
    Span,
    Train,
    TrainedSpans,
    TrainVllm,
    Verifying,
    WarmStart,
)

__all__ = [
    "REFERENCE", "Calibration", "Config", "ConfigError", "Evaluation", "Experiment", "FallibleGrader", "Folder",
    "Gguf", "Hub", "Inspect",
    "LabelTrusting", "LanguageModelJudge", "Lora", "Model", "Nano", "OwnJudge", "PostTrained", "Sampling", "Span",
    "Strict", "Train", "TrainVllm", "TrainedSpans", "Verifying", "Vllm", "WarmStart", "load", "read",
]  # fmt: skip
