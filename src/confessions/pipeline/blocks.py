"""What each stage is given: its spec, the block of the configuration that it depends on, as a frozen type.

specs.py makes them of a configuration; a stage's command reads its own once, and the stage uses it by attribute.
Nothing here imports torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, PrivateAttr, SerializerFunctionWrapHandler, ValidationError
from pydantic import model_serializer as serializer
from pydantic import model_validator as validator

from confessions import tasks
from confessions.config import (
    Calibration,
    Evaluation,
    Folder,
    Gguf,
    Hub,
    Inspect,
    LabelTrusting,
    LanguageModelJudge,
    Nano,
    OwnJudge,
    PostTrained,
    Sampling,
    Strict,
    Train,
    Verifying,
    Vllm,
)
from confessions.config.strict import first_wrong
from confessions.runtime.errors import InputError
from confessions.runtime.files import parse_json

Source = Annotated[Nano | Folder | Hub | Gguf | Inspect | PostTrained, Field(discriminator="kind")]


class Spec(Strict):
    """Base of every spec. It is written, hashed and recorded as the keys that it was given, in that order: an optional
    key that was added later changes no old hash, and no parameter of a rule."""

    _keys: tuple[str, ...] = PrivateAttr(())

    @validator(mode="wrap")
    @classmethod
    def _remember(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        spec = handler(data)
        if isinstance(data, Mapping):
            spec._keys = tuple(data)
        return spec

    @serializer(mode="wrap")
    def _as_given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values = handler(self)
        return {key: values[key] for key in self._keys}

    def dump(self) -> dict[str, Any]:
        """JSON values, nothing that was left out."""
        return self.model_dump(exclude_unset=True)

    def as_json(self) -> str:
        """The text that a rule hands to the stage's command."""
        return json.dumps(self.dump())

    @classmethod
    def parse(cls, text: str) -> Self:
        """The spec that the command line was given. Raises InputError, one line, where it is none."""
        data = parse_json(text, "--spec", "give the block as the workflow does")
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise InputError(f"--spec: {first_wrong(error, data)}; give the block as the workflow does") from None


class ModelSpec(Spec):
    """A model folder."""

    key: str
    source: Source


class PostTrainSpec(ModelSpec):
    """A model folder out of another one."""

    source: PostTrained
    dtype: str
    thinking: bool


class Loaded(Spec):
    """What generation needs to know of a model; without its label, so that renaming it re-runs nothing."""

    key: str
    dtype: Literal["float32", "bfloat16"]
    thinking: bool


class Sampled(Loaded):
    keep_thinking: bool


class Calibrated(Loaded):
    source: Source


class InFolder(Loaded):
    folder: str


class Transformers(Spec):
    """The engine `transformers`, which has no settings."""

    kind: Literal["transformers"]


class VllmEngine(Spec, Vllm):
    """The engine `vllm`."""

    kind: Literal["vllm"]


Engine = Annotated[Transformers | VllmEngine, Field(discriminator="kind")]


class LoadedJudge(Spec, LanguageModelJudge):
    """A language model as the weak judge."""

    model: InFolder
    engine: Engine
    prompt: str | None = Field(None, description="name of its wording, and a hash of it")


class DigestedJudge(Spec, OwnJudge):
    """A weak judge of the user's own."""

    digest: str | None = Field(None, description="of its file")


Judge = Annotated[LabelTrusting | Verifying | LoadedJudge | DigestedJudge, Field(discriminator="kind")]


class OfTask(Spec):
    """What is about one task."""

    task: str
    problems: str | None = Field(None, description="file of its instances, where they are not its own")
    task_digest: str | None = Field(None, description="of a task from outside the package")

    def get_task(self) -> tasks.Task:
        return tasks.get(self.task, self.problems)


class Judged(OfTask):
    """What a weak judge reads."""

    judge: Judge

    @property
    def judge_folders(self) -> list[Path]:
        """The model that the judge loads: one or none."""
        return [Path(self.judge.model.folder)] if isinstance(self.judge, LoadedJudge) else []


class ScoreSpec(Judged):
    """The scores of rollouts, and a check of the judge."""

    probes: dict[str, OfTask] = Field({}, description="files of scores of probes, which no language model judges")


class TrainSpec(Judged):
    """A training run."""

    policy: Loaded
    train: Train
    seed: int
    digests: dict[str, str] = Field({}, description="of functions from outside the package, by path")


class Cells(OfTask):
    """What is sampled of one checkpoint, or of a model as it is, for one file: `rollouts` of each condition, and of
    each a confession for every variant."""

    seed: int = Field(description="of training; 0 where nothing was trained")
    step: int
    adapter: str | None = Field(description="folder; null: none is asked for")
    conditions: list[str]
    variants: list[str]
    rollouts: int
    keep_thinking: bool | None = Field(None, description="of turn 1 in turn 2's context; null: as the model has it")
    paraphrases: dict[str, str] | None = Field(None, description="in that reasoning, before turn 2 sees it")
    answers: str | None = Field(None, description="file of answers that stand in for turn 1; null: it is sampled")
    met_share: float | None = Field(None, description="of their objectives; null: the first of the file")
    one_fault: bool = Field(False, description="the instance of each is changed, so that it misses one objective")
    replaced: bool = Field(False, description="two rows in a row have one prompt, and each the other's answer")
    max_task_tokens: int | None = Field(None, description="null: as in all evaluation")
    max_confession_tokens: int | None = Field(None, description="likewise")

    @property
    def size(self) -> int:
        """Rows of the file."""
        return len(self.conditions) * len(self.variants) * self.rollouts

    def limits(self, evaluation: Evaluation | EvaluationSpec) -> tuple[int, int]:
        """Of the tokens of either turn."""
        first, second = evaluation.max_task_tokens, evaluation.max_confession_tokens
        return self.max_task_tokens or first, self.max_confession_tokens or second


class EvaluationSpec(Spec):
    """How rollouts are sampled."""

    sampling: Sampling | None = Field(description="null: as the model's authors recommend")
    max_task_tokens: int
    max_confession_tokens: int
    batch_size: int
    seed: int


class RolloutSpec(Spec):
    """The rollouts of one base model: one engine start samples them all."""

    model: Sampled
    engine: Engine
    evaluation: EvaluationSpec
    texts: dict[str, dict[str, str]] = Field(description="digests of system prompts and requests")
    files: dict[str, list[Cells]] = Field(description="each file to be written with its blocks, one a subject")


class AnswerSampling(Spec, Sampling):
    """How answers are drawn, and how long they may be."""

    max_new_tokens: int


class CalibrationSpec(Spec):
    """A calibration of one model."""

    task: str = "instructions"
    model: Calibrated
    engine: Engine
    sampling: AnswerSampling
    batch_size: int
    seed: int
    calibration: Calibration


class ScoredLogs(Spec):
    """Logs of one file of rollouts, one a cell."""

    rollouts: str
    scores: str
    prefix: str = Field(description="of the logs' names")
    labels: dict[str, Any]


class TrainingLogs(Spec):
    """Logs of the rollouts that a policy was trained on."""

    rollouts: str = Field(description="folder, a file a step")
    logs: dict[str, Annotated[list[int], Field(min_length=2, max_length=2)]]  # with its first and last step
    labels: dict[str, Any]


class LogsSpec(Spec):
    """Inspect logs of an experiment."""

    checkpoints: list[ScoredLogs]
    training: list[TrainingLogs]
