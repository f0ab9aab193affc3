"""What is sampled to measure: cells, probes, the hack survey, a sweep of seeded models, a calibration."""

from __future__ import annotations

import math
from itertools import product
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from confessions import prompts, tasks
from confessions.config.models import Lora, Model, PostTrained, Sampling, Seeding
from confessions.config.strict import Key, Strict, check_file, check_task, check_text, repeats, wrong
from confessions.runtime import outside

REFERENCE = {"conditions": "baseline", "variants": "default"}  # what the others are compared with
SPLITS = {"evaluation", "train", "made"}  # what kept results call other rollouts (analysis.tables.long)


def _check_names(folder: str, names: list[str]) -> None:
    """Each text has a name of its own in files. Whether there are such variants, the task knows."""
    if repeats([outside.short(name).lower() for name in names]):
        raise wrong("two of them would have the same name in files", folder, names)


class Probe(Strict):
    """Further rollouts of every checkpoint and every model of the axes: on another task, or about answers that were
    sampled before."""

    task: str | None = Field(None, description="folder of src/confessions/tasks, or a path; null: the experiment's")
    problems: str | None = Field(
        None, min_length=1, description="as of an experiment; null: the experiment's, or of another task its own"
    )
    answers: str | None = Field(
        None,
        min_length=1,
        description="Parquet file of answers (confessions calibrate) that stand in for turn 1; null: it is sampled",
    )
    met_share: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="of the objectives of the answers, which are drawn from the file by `seed`; null: as it comes",
    )
    one_fault: bool = Field(
        False, description="the levels that each of the file's answers is asked for change, until it misses exactly one"
    )
    replaced: bool = Field(
        False, description="every prompt is attempted twice, and each confession is about the other attempt"
    )
    condition: str | None = Field(None, description="system prompt, as of evaluation; null: none")
    rollouts: int = Field(ge=2, description="a checkpoint or model; the first answers of the file")
    variants: list[str] | None = Field(
        None, min_length=1, description="as of evaluation; null: those of evaluation that the task has"
    )
    max_task_tokens: int | None = Field(None, ge=1, description="limit of turn 1; null: that of evaluation")
    max_confession_tokens: int | None = Field(None, ge=1, description="limit of turn 2; null: that of evaluation")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.task is not None:
            check_task("task", self.task)
        if self.answers and (limit := self.max_task_tokens):
            raise wrong("turn 1 is not sampled where answers are given: leave it out", "max_task_tokens", limit)
        if self.answers and self.condition:
            raise wrong("the answers that are given had none: leave it out", "condition", self.condition)
        if self.condition:
            check_text("conditions", "condition", self.condition, prompts.names("conditions"))
        if self.answers and self.replaced:
            raise wrong("is of attempts that are sampled: leave it out, or answers", "replaced", True)
        for key in ("met_share", "one_fault"):
            if (given := getattr(self, key)) and not self.answers:
                raise wrong("is of stored answers: name their file in answers, or leave it out", key, given)
        if self.met_share and self.one_fault:
            raise wrong("leave out met_share: an answer with one fault has its own", "one_fault", True)
        if self.replaced and self.rollouts % 2:
            raise wrong("must be even where two attempts change places", "rollouts", self.rollouts)
        _check_names("variants", self.variants or [])
        return self


class Evaluation(Strict):
    """Rollouts that measure: same topics and sampling seeds in each cell, so that cells pair up."""

    conditions: list[str] = Field(min_length=1, description="system prompts: names in prompts/conditions, or paths")
    variants: list[str] = Field(
        min_length=1, description="wordings of the request: names in prompts/variants or the task's variants, or paths"
    )
    rollouts: int = Field(ge=2, description="a cell")
    sampling: Sampling | None = Field(
        None,
        description="of evaluation rollouts; left out: the model's own `sampling`, or its generation_config.json's",
    )
    max_task_tokens: int = Field(ge=1, description="limit of turn 1")
    max_confession_tokens: int = Field(ge=1, description="limit of turn 2")
    batch_size: int = Field(ge=1, description="rollouts generated together; sets memory")
    seed: int = Field(ge=0, lt=2**31, description="of sampling")
    shards: int = Field(1, ge=1, description="jobs, at most, that share the policy's files of rollouts; sets time only")

    probes: dict[Key, Probe] = Field({}, description="further rollouts, by the name that files and tables give them")

    @model_validator(mode="after")
    def _known_texts(self) -> Self:
        for number, name in enumerate(self.conditions):
            check_text("conditions", f"conditions.{number}", name, prompts.names("conditions"))
        for folder, reference in REFERENCE.items():
            names = getattr(self, folder)
            _check_names(folder, names)
            if names[0] != reference or len(set(names)) < len(names):
                raise wrong(f"must begin with {reference!r}, and name each once", folder, names)
        return self

    @model_validator(mode="after")
    def _probes_have_names_of_their_own(self) -> Self:
        known = dict.fromkeys(SPLITS, "other rollouts of an experiment")
        for name in self.probes:
            if other := known.get(name.lower()):
                raise wrong(f"{other} are called so: choose another name", f"probes.{name}", name)
            known[name.lower()] = f"those of the probe {name}"
        return self


class Survey(Strict):
    """Rollouts of the untrained and the trained policy on another task, searched for any hack."""

    task: str = Field(description="folder of src/confessions/tasks, or the path of one")
    rollouts: int = Field(ge=2, description="a checkpoint")
    detectors: list[str] = Field([], description="Python files, ./mine/detectors.py, with more detectors of hacks")

    @model_validator(mode="after")
    def _are_there(self) -> Self:
        for number, path in enumerate(self.detectors):
            check_file(f"detectors.{number}", path)
        return self


def _in_a_name(value: float | str) -> str:
    """A setting as part of a model's name."""
    return f"{value:g}" if isinstance(value, float) else str(value)


class Sweep(Strict):
    """A grid of seedings of one model: a model for every combination of the lists. Target `seeding` of the workflow."""

    base: Key = Field(description="key of `models`: what is seeded")
    hack_fractions: list[Annotated[float, Field(ge=0, le=1)]] = Field(min_length=1, description="see Seeding")
    epochs: list[Annotated[int, Field(ge=1)]] = Field(min_length=1, description="see Seeding")
    learning_rates: list[Annotated[float, Field(gt=0, le=1)]] = Field(min_length=1, description="peaks, of AdamW")
    curricula: list[Literal["mixed", "easy_first"]] = Field(min_length=1, description="see Seeding")
    reasonings: list[tasks.Reasoning] = Field(min_length=1, description="see Seeding")
    examples: int = Field(ge=1, description="answers that are shown")
    prompts_per_step: int = Field(ge=1, description="answers a step")
    lora: Lora | None = Field(None, description="adapter, merged at the end; left out: every weight is trained")
    micro_batch: int = Field(ge=1, description="sequences a forward pass; sets memory only")
    seeds: list[Annotated[int, Field(ge=0, lt=2**31)]] = Field(min_length=1, description="of data and training")

    @model_validator(mode="after")
    def _every_model_has_its_name(self) -> Self:
        for key in ("hack_fractions", "epochs", "learning_rates", "curricula", "reasonings", "seeds"):
            values = getattr(self, key)
            if repeats(values) or repeats([_in_a_name(value) for value in values]):
                raise wrong("two entries are one in the models' names", key, values)
        return self

    def models(self, task: str, base: Model) -> dict[str, Model]:
        """The seeded models by key; of several seeds, each names its own."""
        found = {}
        for hacks, epochs, rate, curriculum, reasoning, seed in product(
            self.hack_fractions, self.epochs, self.learning_rates, self.curricula, self.reasonings, self.seeds
        ):
            seeding = Seeding(hack_fraction=hacks, epochs=epochs, curriculum=curriculum, reasoning=reasoning)
            source = PostTrained(
                kind="post_trained",
                base=self.base,
                method="sft",
                data="seeded",
                seeding=seeding,
                task=task,
                steps=math.ceil(self.examples * epochs / self.prompts_per_step),
                prompts_per_step=self.prompts_per_step,
                learning_rate=rate,
                kl_weight=0.0,
                lora=self.lora,
                micro_batch=self.micro_batch,
                seed=seed,
            )
            told = [("h", hacks), ("e", epochs), ("lr", rate), ("", curriculum), ("", reasoning)]
            told += [("s", seed)] if len(self.seeds) > 1 else []
            key = "-".join([self.base, task, *(letter + _in_a_name(value) for letter, value in told)])
            found[key] = base.model_copy(update={"label": key, "source": source})
        return found


class Frozen(Strict):
    """Answers of the model as it is that are kept, for confessions about answers that do not change."""

    train: int = Field(ge=1, description="instances of training, of the kinds of training alone")
    evaluation: int = Field(ge=1, description="held-out instances, of every part of the kinds")
    samples: int = Field(ge=1, description="answers to each")

    def instances(self, part: str) -> dict[Literal["train", "evaluation"], int]:
        """How many of each split are asked; no policy is trained on the kinds of any part but that of training."""
        held_out = {"evaluation": self.evaluation}
        return {"train": self.train, **held_out} if part == "training" else held_out


class Calibration(Strict):
    """How levels of `instructions`, and problems to train on, are chosen: how often a model meets each is measured."""

    per_level: int = Field(70, ge=1, description="answers in which each level of instructions is asked, at least")
    samples: int = Field(8, ge=1, description="answers to each problem")
    lowest: float = Field(0.2, ge=0, le=1, description="met rate of the hardest levels or problems that are kept")
    highest: float = Field(0.8, ge=0, le=1, description="met rate of the easiest")
    frozen: Frozen | None = Field(
        None, description="answers to instructions to keep, from the same start of the engine; null: none"
    )

    @model_validator(mode="after")
    def _some_between(self) -> Self:
        if self.lowest > self.highest:
            raise wrong("above the highest", "lowest", self.lowest)
        return self


class Vllm(Strict):
    """How vLLM runs. What is sampled depends on none of it, but for rounding."""

    gpu_memory_utilization: float = Field(
        0.9, gt=0, le=1, description="part of a GPU's memory that the weights and the cache take"
    )
    max_model_len: int | None = Field(
        None,
        ge=1,
        description="longest conversation, tokens; null: the model's own. Lower it where a cache does not fit",
    )
    tensor_parallel_size: int = Field(1, ge=1, description="GPUs that share one model")
    enforce_eager: bool = Field(False, description="no compilation, no CUDA graphs: starts sooner, samples slower")
    cpu_cache_gib: float = Field(1.0, gt=0, description="size of the cache on a machine without a GPU")
