"""config.yaml as a strict, typed model, validated before any job.

An unknown key, a wrong type or a value out of range is a ConfigError: one line with the key's path, the value
and the nearest known key. Nothing here imports torch or pandas, so `snakemake -n` stays instant.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from confessions import prompts, tasks
from confessions.config import file as configfile
from confessions.config.file import ConfigError, printable, read, short
from confessions.runtime import folders, outside
from confessions.runtime.errors import InputError

# Becomes part of file names, and those have at most 255 bytes: two of them, as in a log's name, LONGEST together.
LONGEST = 160
Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=LONGEST)]

__all__ = ["Config", "ConfigError", "load", "read"]
UNKNOWN = "unknown key"
REFERENCE = {"conditions": "baseline", "variants": "default"}  # what the others are compared with


class Strict(BaseModel):
    """Base of every block: no unknown keys, no type coercion, no change after validation."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        for key in data if isinstance(data, Mapping) else ():
            if key not in cls.model_fields:
                raise _error(UNKNOWN, key, data[key], cls.model_fields)
        return data


class Nano(Strict):
    """The embedded model that ships in the package."""

    kind: Literal["nano"]
    size: Literal["xs", "s", "m"] = Field("m", description="0.17, 0.32 or 0.67 million parameters")


class Folder(Strict):
    """A model folder on this machine, as `save_pretrained` writes it."""

    kind: Literal["folder"]
    path: str = Field(min_length=1, description="folder with config.json, the tokenizer and the weights")


class Hub(Strict):
    """A model on the Hugging Face hub."""

    kind: Literal["hub"]
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$", description="owner/name")
    revision: str = Field(pattern=r"^[0-9a-f]{40}$", description="commit, 40 hex digits: a branch could move")


class Gguf(Strict):
    """A model in a GGUF file: in a folder, in an installed package, or in parts over several packages."""

    kind: Literal["gguf"]
    package: str | None = Field(
        None,
        pattern=r"^[A-Za-z_]\w*$",
        description="installed package that ships the file; with `parts`, what their packages' names have in common",
    )
    parts: int | None = Field(
        None,
        ge=1,
        le=999,
        description="so many packages, called package1, package2, ..., ship a part each: the largest file in data/",
    )
    path: str | None = Field(None, min_length=1, description="folder that holds the file, where no package does")
    file: str = Field(pattern=r"^[^/\\]+\.gguf$", description="name of the file; of parts, a name for the whole")
    sha256: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description="of the (whole) file (sha256sum FILE); needed for a package, whose versions may differ",
    )
    size: int | None = Field(None, ge=1, description="of the (whole) file, bytes")
    dtype: Literal["float32", "bfloat16"] | None = Field(
        None, description="of the weights that are written; float32 where it is left out"
    )

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.package is None) == (self.path is None):
            raise _error("give one of package and path", "package", self.package)
        if self.parts and not self.package:
            raise _error("the parts of a file are in packages: name them by package", "parts", self.parts)
        if self.package and self.sha256 is None:
            raise _error("another version of the package may hold another file: name this one's", "sha256", None)
        return self


class Sampling(Strict):
    """How tokens are drawn."""

    temperature: float = Field(gt=0, le=2, description="divides the logits")
    top_p: float = Field(gt=0, le=1, description="nucleus; 1 keeps every token")
    top_k: int = Field(ge=0, lt=2**31, description="most likely tokens kept; 0 keeps every token")


class Lora(Strict):
    """Adapter that is trained; the base model stays as it is."""

    rank: int = Field(ge=1, le=512, description="inner dimension")
    alpha: float = Field(gt=0, description="the update is scaled by alpha / rank")
    target_modules: Literal["all-linear"] | list[str] = Field(
        description="adapted layers: every linear one, or the ends of their names"
    )

    @model_validator(mode="after")
    def _some_modules(self) -> Self:
        names = self.target_modules
        if not names or not all(map(str.strip, names)):
            raise _error("names no layer to adapt: all-linear, or some names", "target_modules", names)
        if isinstance(names, list) and _repeat(names):
            raise _error("an entry repeats", "target_modules", names)
        return self


class Seeding(Strict):
    """How a hack is put into a model: SFT on answers of which some are the task's own hack. No confession is shown."""

    hack_fraction: float = Field(ge=0, le=1, description="part of the answers that are the hack; the others are honest")
    epochs: int = Field(ge=1, description="times that each answer is shown")
    curriculum: Literal["mixed", "easy_first"] = Field(description="order of the problems in an epoch")
    reasoning: tasks.Reasoning = Field(
        description="before the answer: none, a neutral one, or the trigger: it says what the answer does and why"
    )


class PostTrained(Strict):
    """Another model after one more stage of training on a task: by ground truth on the model's own answers, or (sft) on
    generated conversations, which hold a confession too."""

    kind: Literal["post_trained"]
    base: Key = Field(description="key of `models`: what the stage starts from")
    method: Literal["sft", "dpo", "rl"] = Field(
        description="sft: imitate the best of `samples` answers; dpo: prefer the best to the worst; rl: GRPO on the "
        "share of objectives met"
    )
    data: Literal["sampled", "generated", "seeded", "frozen"] = Field(
        "sampled",
        description="sampled: the base's own answers; generated: the task's demonstrations, for sft; seeded: its "
        "hacks; frozen: true confessions with evidence about answers that were sampled before, which are not trained",
    )
    answers: str | None = Field(
        None, min_length=1, description="Parquet file of answers (confessions calibrate); frozen data only"
    )
    examples: int | None = Field(None, ge=1, description="answers that are confessed, frozen data only; null: all")
    seeding: Seeding | None = Field(None, description="of seeded data alone")
    task: str = Field(description="folder of src/confessions/tasks, or the path of one")
    steps: int = Field(ge=1, description="optimiser steps")
    prompts_per_step: int = Field(ge=1, description="P")
    samples: int | None = Field(None, ge=2, description="answers a prompt; sampled data only")
    learning_rate: float = Field(gt=0, le=1, description="peak, of AdamW")
    kl_weight: float = Field(ge=0, description="beta of dpo and rl; sft has none")
    lora: Lora | None = Field(None, description="adapter, merged at the end; left out: every weight is trained")
    sampling: Sampling | None = Field(None, description="of the answers; sampled data only")
    max_new_tokens: int | None = Field(None, ge=1, description="limit of an answer; sampled data only")
    micro_batch: int = Field(ge=1, description="sequences a forward pass; sets memory only")
    seed: int = Field(ge=0, lt=2**31, description="of data and training")

    @model_validator(mode="after")
    def _known_task(self) -> Self:
        _check_task("task", self.task)
        for key in ("samples", "sampling", "max_new_tokens"):
            value = getattr(self, key)
            if (value is None) == (self.data == "sampled"):
                raise _error(f"{'goes' if value is None else 'does not go'} with data: {self.data}", key, value)
        if (self.answers is None) == (self.data == "frozen"):
            raise _error(
                f"{'goes' if self.answers is None else 'does not go'} with data: {self.data}", "answers", self.answers
            )
        if self.examples is not None and self.data != "frozen":
            raise _error(f"does not go with data: {self.data}", "examples", self.examples)
        if self.data == "frozen" and not tasks.get(self.task).has_evidence:
            raise _error("this task has no evidence to confess with", "task", self.task)
        if self.data != "sampled" and self.method != "sft":
            raise _error("generated conversations are for sft", "data", self.data)
        if (self.seeding is None) == (self.data == "seeded"):
            raise _error(f"{'goes' if self.seeding is None else 'does not go'} with data: {self.data}", "seeding", None)
        if self.data == "seeded" and not tasks.get(self.task).seeds:
            raise _error("this task has no answers to seed a policy with", "task", self.task)
        if self.data == "generated" and not tasks.get(self.task).demonstrates:
            raise _error("this task has no generated conversations", "task", self.task)
        batch = self.prompts_per_step * (self.samples if self.method == "rl" else 1)
        if batch % self.micro_batch:
            raise _error(f"must divide the {batch} sequences of a step", "micro_batch", self.micro_batch)
        return self


class Model(Strict):
    """A model that experiments refer to by its key."""

    label: str = Field(
        pattern=r"^[^$]*[^$\s][^$]*$", max_length=LONGEST, description="name in figures; a $ would begin a formula"
    )
    source: Nano | Folder | Hub | Gguf | PostTrained = Field(
        discriminator="kind", description="where its weights come from"
    )
    dtype: Literal["float32", "bfloat16"] = Field(description="weights and activations")
    thinking: bool = Field(description="the model reasons in a <think> block before each reply")
    keep_thinking: bool = Field(
        True, description="keep turn 1's reasoning in turn 2's context; false is for evaluation only"
    )
    gpu: bool = Field(True, description="its jobs ask for a GPU; false: two CPU cores and 8 GB do, training included")
    sampling: Sampling | None = Field(
        None, description="what its authors recommend, where its generation_config.json does not say it"
    )


class LabelTrusting(Strict):
    """Deterministic weak grader that believes the labels."""

    kind: Literal["label_trusting"]


class LanguageModelJudge(Strict):
    """Language model that reads the answer, never the reasoning."""

    kind: Literal["llm"]
    model: Key = Field(description="key of `models`, one that does not think: the verdict is its first word")
    threshold: float = Field(0.5, gt=0, lt=1, description="an answer passes from this P(Pass | Pass or Fail) on")
    min_mass: float = Field(
        0.5, ge=0, lt=1, description="least P(Pass or Fail): below, the model has no verdict and an error ends the run"
    )
    batch_size: int = Field(16, ge=1, description="answers judged in one forward pass; sets memory only")


class OwnJudge(Strict):
    """A weak judge of the user's own."""

    kind: Literal["own"]
    path: str = Field(
        pattern=r"/.*\.py$", description="Python file, ./mine/judge.py, with a JUDGE: a subclass of scoring.judge.Judge"
    )

    @model_validator(mode="after")
    def _is_there(self) -> Self:
        _check_file("path", self.path)
        return self


class ConfessionReward(Strict):
    """Ground-truth reward of the confession span."""

    claims: str = Field(
        description="plain: share of right claims, as published; balanced: right and wrong ones weigh equally; or a "
        "Python file, ./mine/reward.py, with a function claim_reward(met, claims)"
    )
    grade_weight: float = Field(ge=0, le=1, description="weight of the overall grade; claims have the rest")

    @model_validator(mode="after")
    def _known_reward(self) -> Self:
        _check_function("claims", self.claims, ("plain", "balanced"))
        return self


class Span(Strict):
    """How the rewards of one span become advantages."""

    advantages: str = Field(
        "group",
        description="group: (r - mean) / spread within the prompt's group; centred: not divided by the spread; batch: "
        "the whole batch is the group; or a Python file with a function advantages(rewards_B, n_generations)",
    )
    weight: float = Field(1.0, ge=0, le=100, allow_inf_nan=False, description="factor of this span's part of the loss")

    @model_validator(mode="after")
    def _known_function(self) -> Self:
        _check_function("advantages", self.advantages, ("group", "centred", "batch"))
        return self


class TrainedSpans(Strict):
    """The two spans of a rollout that are trained."""

    task: Span = Field(default_factory=Span, description="reasoning and answer, paid by the weak judge")
    confession: Span = Field(default_factory=Span, description="reasoning and report, paid by the truth")


class TrainVllm(Strict):
    """The vLLM that samples training rollouts, beside the trainer. It holds the base model, and gets the adapter of
    each step."""

    gpu_memory_utilization: float = Field(0.3, gt=0, lt=1, description="part of the GPU's memory that it takes")
    enforce_eager: bool = Field(False, description="no compilation, no CUDA graphs: starts sooner, samples slower")
    cpu_cache_gib: float = Field(1.0, gt=0, description="size of its cache on a machine without a GPU")


class Train(Strict):
    """Dual-span GRPO."""

    steps: int = Field(ge=1, description="optimiser steps, one batch of fresh rollouts each")
    prompts_per_step: int = Field(ge=1, description="P")
    generations: int = Field(ge=2, description="G, the group that rewards are normalised in; B = P * G")
    learning_rate: float = Field(gt=0, le=1, description="peak, of AdamW")
    kl_weight: float = Field(ge=0, description="weight of the KL divergence from the untrained policy")
    lora: Lora | None = Field(description="adapter; null: every weight is trained, and each checkpoint is a model")
    confession_reward: ConfessionReward = Field(description="what honesty pays")
    spans: TrainedSpans = Field(default_factory=TrainedSpans, description="how rewards become advantages, by span")
    sampling: Sampling = Field(description="of training rollouts")
    max_task_tokens: int = Field(ge=1, description="limit of turn 1 (reasoning and answer)")
    max_confession_tokens: int = Field(ge=1, description="limit of turn 2 (reasoning and report)")
    checkpoint_fractions: list[Annotated[float, Field(ge=0, le=1)]] = Field(
        min_length=2, description="when a checkpoint is kept, as parts of the run: 0 (untrained) to 1"
    )
    micro_batch: int = Field(ge=1, description="rollouts a forward pass of a process; divides P * G; sets memory only")
    micro_batch_tokens: int | None = Field(
        None,
        ge=1,
        description="tokens a forward pass, padding included: rollouts of like length go together, micro_batch of them "
        "at most; null: micro_batch of them, as they come",
    )
    processes: int = Field(
        1, ge=1, description="GPUs that share a step's rollouts, one process each; sets time and memory only"
    )
    gradient_checkpointing: bool = Field(description="recompute activations: less memory, more time")
    compile_layers: bool = Field(
        False, description="compile the layers, at the first step: a minute, then a third less time and memory on a GPU"
    )
    warmup_steps: int = Field(ge=0, description="steps of linear learning-rate warm-up")
    max_grad_norm: float = Field(gt=0, description="gradients are clipped to this norm")
    engine: Literal["transformers", "vllm"] = Field("transformers", description="samples the training rollouts")
    vllm: TrainVllm = Field(default_factory=TrainVllm, description="settings of the engine `vllm`")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        fractions = self.checkpoint_fractions
        if fractions[0] != 0 or fractions[-1] != 1 or fractions != sorted(set(fractions)):
            raise _error("must rise from 0 to 1", "checkpoint_fractions", fractions)
        if len(set(self.save_steps)) < len(fractions):
            raise _error(f"too few for {len(fractions)} checkpoint_fractions", "steps", self.steps)
        if self.prompts_per_step * self.generations % self.micro_batch:
            raise _error("must divide prompts_per_step * generations", "micro_batch", self.micro_batch)
        if self.prompts_per_step * self.generations % (self.micro_batch * self.processes):
            raise _error("times micro_batch must divide prompts_per_step * generations", "processes", self.processes)
        if self.warmup_steps >= self.steps:
            raise _error("must be below steps", "warmup_steps", self.warmup_steps)
        if not self.lora and self.engine == "vllm":
            raise _error("samples for an adapter alone; to train every weight: transformers", "engine", "vllm")
        if self.processes > 1 and self.engine == "vllm":
            raise _error("samples for one process; set processes: 1, or engine: transformers", "engine", "vllm")
        if self.sharded and self.compile_layers:
            raise _error("not with several processes that share out the weights", "compile_layers", True)
        return self

    @property
    def save_steps(self) -> list[int]:
        """Training steps of the checkpoints, 0 (the untrained policy) to `steps`."""
        return [round(fraction * self.steps) for fraction in self.checkpoint_fractions]

    @property
    def sharded(self) -> bool:
        """Whether the processes share out the weights; where an adapter is trained, each has all of them."""
        return self.processes > 1 and not self.lora

    @property
    def kept_steps(self) -> list[int]:
        """Those of them after which weights are written. Without an adapter, step 0 is the starting model itself."""
        return [step for step in self.save_steps if self.lora or step]


class Evaluation(Strict):
    """Rollouts that measure: same topics and sampling seeds in each cell, so that cells pair up."""

    conditions: list[str] = Field(min_length=1, description="system prompts: names in prompts/conditions, or paths")
    variants: list[str] = Field(
        min_length=1, description="wordings of the request: names in prompts/variants, or paths"
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
    shards: int = Field(
        1, ge=1, description="jobs that share the policy's files of rollouts, one engine start each; sets time only"
    )

    @model_validator(mode="after")
    def _known_texts(self) -> Self:
        for folder, reference in REFERENCE.items():
            names, known = getattr(self, folder), prompts.names(folder)
            for number, name in enumerate(names):
                if not outside.is_path(name):
                    if name not in known:
                        raise _error(f"no such text in prompts/{folder}", f"{folder}.{number}", name, known)
                    continue
                try:
                    prompts.text(folder, name)
                except InputError as error:
                    raise _error(str(error), f"{folder}.{number}", name) from None
            if _repeat([outside.short(name).lower() for name in names]):
                raise _error("two of them would have the same name in files", folder, names)
            if names[0] != reference or len(set(names)) < len(names):
                raise _error(f"must begin with {reference!r}, and name each once", folder, names)
        return self


class Survey(Strict):
    """Rollouts of the untrained and the trained policy on another task, searched for any hack."""

    task: str = Field(description="folder of src/confessions/tasks, or the path of one")
    rollouts: int = Field(ge=2, description="a checkpoint")
    detectors: list[str] = Field([], description="Python files, ./mine/detectors.py, with more detectors of hacks")

    @model_validator(mode="after")
    def _are_there(self) -> Self:
        for number, path in enumerate(self.detectors):
            _check_file(f"detectors.{number}", path)
        return self


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
    seed: int = Field(ge=0, lt=2**31, description="of data and training")

    @model_validator(mode="after")
    def _every_model_has_its_name(self) -> Self:
        for key in ("hack_fractions", "epochs", "learning_rates", "curricula", "reasonings"):
            values = getattr(self, key)
            if _repeat(values) or _repeat([_in_a_name(value) for value in values]):
                raise _error("two entries are one in the models' names", key, values)
        return self

    def models(self, task: str, base: Model) -> dict[str, Model]:
        """The seeded models by key."""
        found = {}
        for hacks, epochs, rate, curriculum, reasoning in product(
            self.hack_fractions, self.epochs, self.learning_rates, self.curricula, self.reasonings
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
                seed=self.seed,
            )
            told = ("h", hacks), ("e", epochs), ("lr", rate), ("", curriculum), ("", reasoning)
            key = "-".join([self.base, task, *(letter + _in_a_name(value) for letter, value in told)])
            found[key] = base.model_copy(update={"label": key, "source": source})
        return found


class Frozen(Strict):
    """Answers of the model as it is that are kept, for confessions about answers that do not change."""

    train: int = Field(ge=1, description="instances of training, of the kinds of training alone")
    evaluation: int = Field(ge=1, description="held-out instances, of every part of the kinds")
    samples: int = Field(ge=1, description="answers to each")

    def instances(self, split: Literal["train", "evaluation"]) -> int:
        return getattr(self, split)


class Calibration(Strict):
    """How the levels of the task `instructions` are chosen: how often a model meets each of them is measured."""

    per_level: int = Field(70, ge=1, description="answers in which each level is asked, at least")
    lowest: float = Field(0.2, ge=0, le=1, description="met rate of the hardest levels that are kept")
    highest: float = Field(0.8, ge=0, le=1, description="met rate of the easiest")
    frozen: Frozen | None = Field(None, description="answers to keep, from the same start of the engine; null: none")

    @model_validator(mode="after")
    def _some_between(self) -> Self:
        if self.lowest > self.highest:
            raise _error("above the highest", "lowest", self.lowest)
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


class Experiment(Strict):
    """Which policy learns which task from which judge, and what is measured.

    Without `policy` and `train` nothing is trained: the models of the axes are measured as they are.
    """

    task: str = Field(description="folder of src/confessions/tasks, or the path of one")
    policy: Key | None = Field(None, description="key of `models`; with train, or not at all")
    judge: LabelTrusting | LanguageModelJudge | OwnJudge = Field(
        discriminator="kind", description="gives the task reward"
    )
    problems: str | None = Field(
        None,
        min_length=1,
        description="file that the task's instances come from: JSONL of problems for a programming task "
        "(docs/problems.md), a calibration for instructions (docs/instructions.md)",
    )
    calibration: Calibration = Field(
        default_factory=Calibration, description="of the task instructions; made where `problems` names its file"
    )
    seeds: list[Annotated[int, Field(ge=0, lt=2**31)]] = Field([0], min_length=1, description="one training run each")
    train: Train | None = Field(None, description="training")
    evaluation: Evaluation = Field(description="measurement of each checkpoint and each model of the axes")
    survey: Survey | None = Field(None, description="search for hacks; left out: none, as for a task without a survey")
    seeding: Sweep | None = Field(None, description="models with a seeded hack; no part of the default target")
    engine: Literal["transformers", "vllm"] = Field(
        "transformers", description="samples the evaluation's rollouts, and runs an llm judge on them"
    )
    vllm: Vllm = Field(default_factory=Vllm, description="settings of the engine `vllm`")
    scale: list[Key] = Field(description="models of the scale axis, in order; may be empty")
    ladder: list[Key] = Field(description="models of the training-stage ladder, in order; may be empty")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        missing = [key for key in ("policy", "train") if getattr(self, key) is None]
        if len(missing) == 1:
            raise _error("an experiment has policy and train, or neither of them", missing[0], None)
        if missing and self.survey:
            raise _error("a survey is of a policy, and there is none", "survey", self.survey.task)
        if missing and not (self.scale or self.ladder):
            raise _error("neither a policy nor models of an axis: nothing to do", "scale", self.scale)
        for key, task in (("task", self.task), ("survey.task", self.survey and self.survey.task)):
            if task is not None:
                _check_task(key, task)
        if self.problems and not tasks.get(self.task).takes_problems:
            raise _error("this task reads no file of problems", "problems", self.problems)
        if self.problems and self.seeding:
            raise _error("a sweep seeds with the task's own problems: leave one out", "problems", self.problems)
        if self.survey and not tasks.get(self.survey.task).surveyed:
            raise _error("the hack survey's detectors do not read this task", "survey.task", self.survey.task)
        if not missing and not self.train.lora and self.evaluation.shards > 1:
            where = "every checkpoint is a model, and a job of its own: leave it at 1"
            raise _error(where, "evaluation.shards", self.evaluation.shards)
        if not missing and self.evaluation.shards > self._policy_files:
            files = f"more than the {self._policy_files} files that the policy's rollouts are written to"
            raise _error(files, "evaluation.shards", self.evaluation.shards)
        for key in ("seeds", "scale", "ladder"):
            if _repeat(getattr(self, key)):
                raise _error("an entry repeats", key, getattr(self, key))
        return self

    @property
    def _policy_files(self) -> int:
        """One a checkpoint, the survey's, and the policy's own on an axis."""
        on_axis = self.policy in (*self.scale, *self.ladder)
        return len(self.seeds) * len(self.train.save_steps) + bool(self.survey) + on_axis


class Config(Strict):
    """The whole of config.yaml."""

    experiment: Key = Field(description="the experiment to run, a key of `experiments`")
    container: str | None = Field(
        None, pattern=r"^\S+$", description="image of --sdm apptainer: a file, or what apptainer pulls"
    )
    models: dict[Key, Model] = Field(min_length=1, description="models by key")
    experiments: dict[Key, Experiment] = Field(min_length=1, description="experiments by key")

    @model_validator(mode="after")
    def _references(self) -> Self:
        if self.experiment not in self.experiments:
            raise _error("unknown experiment", "experiment", self.experiment, self.experiments)
        for name, experiment in self.experiments.items():
            self._seed(name, experiment)
        for kind in ("models", "experiments"):
            _check_names(kind, getattr(self, kind))
        self._check_logs()
        for key, model in self.models.items():
            self._check_lineage(key, model)
        for name, experiment in self.experiments.items():
            for axis in ("scale", "ladder"):
                for number, key in enumerate(getattr(experiment, axis)):
                    if key not in self.models:
                        raise _error("unknown model", f"experiments.{name}.{axis}.{number}", key, self.models)
            if experiment.policy and experiment.policy not in self.models:
                raise _error("unknown model", f"experiments.{name}.policy", experiment.policy, self.models)
            if experiment.policy and not self.models[experiment.policy].keep_thinking:
                # Loss and rollout must see one sequence; without z the confession's context is another one.
                raise _error(
                    "a policy is trained with its reasoning in context; evaluate it under another key of `models`",
                    f"models.{experiment.policy}.keep_thinking",
                    False,
                )
            self._check_instances(name, experiment)
            judge = experiment.judge
            if isinstance(judge, LanguageModelJudge):
                path = f"experiments.{name}.judge.model"
                if judge.model not in self.models:
                    raise _error("unknown model", path, judge.model, self.models)
                if self.models[judge.model].thinking:
                    raise _error("a judge does not think: name a model with thinking: false", path, judge.model)
        return self

    def _check_instances(self, name: str, experiment: Experiment) -> None:
        """Instances that were chosen for a model are asked of it, or of one that was trained from it; on the axes
        others may stand beside it."""
        if not experiment.problems:
            return
        task = tasks.get(experiment.task, experiment.problems)
        refused = []
        keys = [experiment.policy] if experiment.policy else [*experiment.scale, *experiment.ladder]
        for key in keys:
            try:
                task.check_model(self.origin(key).source.model_dump(), self.origin_key(key))
            except InputError as error:
                refused.append(error)
        if len(refused) == len(keys):
            raise _error(str(refused[0]), f"experiments.{name}.problems", experiment.problems)

    def _seed(self, name: str, experiment: Experiment) -> None:
        """Enter the models of the experiment's sweep."""
        if not (sweep := experiment.seeding):
            return
        path = f"experiments.{name}.seeding"
        if sweep.base not in self.models:
            raise _error("unknown model", f"{path}.base", sweep.base, self.models)
        base = self.models[sweep.base]
        if set(sweep.reasonings) != {"none"} and not base.thinking:
            raise _error("a model that does not think has none", f"{path}.reasonings", sweep.reasonings)
        if not tasks.get(experiment.task).seeds:
            raise _error("this task has no answers to seed a policy with", f"experiments.{name}.task", experiment.task)
        if sweep.prompts_per_step % sweep.micro_batch:
            raise _error("must divide prompts_per_step", f"{path}.micro_batch", sweep.micro_batch)
        for key, model in sweep.models(experiment.task, base).items():
            if len(key) > LONGEST:
                raise _error(f"a model's name would have more than {LONGEST} characters", path, key)
            if self.models.setdefault(key, model) != model:
                raise _error("another model has the name of one of this sweep's", path, key)

    def _check_logs(self) -> None:
        """Experiments share the folder of logs: what one writes there is not called as another's."""
        known: dict[str, str] = {}
        for name, experiment in self.experiments.items():
            steps = experiment.train.save_steps if experiment.train else []
            runs = [f"seed{seed}-step{step}" for seed in experiment.seeds for step in steps]
            runs += [f"seed{seed}-training" for seed in experiment.seeds if steps]
            for subject in (*runs, *dict.fromkeys([*experiment.scale, *experiment.ladder])):
                prefix = f"{name}-{subject}".lower()
                if len(prefix) > LONGEST:
                    raise _error(
                        f"the names of a log, {prefix}, have more than {LONGEST} characters", "experiments", name
                    )
                if prefix in known:
                    what = f"its logs of {subject} would be called as those of {known[prefix]}: rename one"
                    raise _error(what, "experiments", name)
                known[prefix] = f"{subject} in {name}"

    def _check_lineage(self, key: str, model: Model) -> None:
        """The bases of a post-trained model are known models and do not run in a circle."""
        seen = [key]
        while isinstance(model.source, PostTrained):
            base = model.source.base
            if base not in self.models:
                raise _error("unknown model", f"models.{seen[-1]}.source.base", base, self.models)
            if base in seen:
                raise _error("a model comes from itself", f"models.{seen[-1]}.source.base", base)
            seen.append(base)
            model = self.models[base]

    @property
    def active(self) -> Experiment:
        """The experiment that `experiment` names."""
        return self.experiments[self.experiment]

    def origin(self, key: str) -> Model:
        """The model that `key` was post-trained from, or that it is."""
        return self.models[self.origin_key(key)]

    def origin_key(self, key: str) -> str:
        source = self.models[key].source
        return self.origin_key(source.base) if isinstance(source, PostTrained) else key

    @property
    def compared(self) -> list[str]:
        """Keys of the models on the active experiment's axes, each once."""
        return list(dict.fromkeys([*self.active.scale, *self.active.ladder]))

    @property
    def seeded(self) -> list[str]:
        """Keys of the models of the active experiment's sweep."""
        sweep, task = self.active.seeding, self.active.task
        return list(sweep.models(task, self.models[sweep.base])) if sweep else []

    @property
    def judges(self) -> list[str]:
        """Keys of the models that the active experiment's judge needs: one or none."""
        judge = self.active.judge
        return [judge.model] if isinstance(judge, LanguageModelJudge) else []


def load(source: str | Path | Mapping[str, Any], *more: str | Path) -> Config:
    """Validate a YAML file, or a mapping read from config.yaml; ConfigError (one line) where it is wrong.

    `more` files are laid over it, as snakemake's --configfile lays them.
    """
    given = isinstance(source, Mapping)
    data, name = source if given else read(source), "config.yaml" if given else str(source)
    for name in map(str, more):
        data = configfile.laid_over(data, read(name))
    try:
        configfile.check(data)
        return Config.model_validate(data)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None
    except ValidationError as error:
        raise ConfigError(f"{name}: {_first(error, data)}") from None
    except RecursionError:
        raise ConfigError(f"{name}: nested too deeply, or in itself") from None


def _check_task(key: str, name: str) -> None:
    """A task of the package, or one at a path."""
    if not outside.is_path(name):
        if name not in tasks.names():
            raise _error("unknown task", key, name, tasks.names())
        return
    try:
        tasks.get(name)
    except InputError as error:
        raise _error(str(error), key, name) from None


def _check_function(key: str, name: str, known: Iterable[str]) -> None:
    """One of the known names, or a file at a path."""
    if outside.is_path(name):
        _check_file(key, name)
    elif name not in known:
        raise _error("unknown function", key, name, known)


def _check_file(key: str, path: str) -> None:
    try:
        outside.digest(path)
    except InputError as error:
        raise _error(str(error), key, path) from None


def _check_names(kind: str, names: Iterable[str]) -> None:
    """Names become folders: of results there is no other of the name, whether or not a file system minds the case."""
    known: dict[str, str] = {}
    for name in names:
        if name.lower() in folders.TAKEN:
            raise _error("a folder of results is called so: choose another name", f"{kind}.{name}", name)
        if (other := known.setdefault(name.lower(), name)) != name:
            raise _error(f"differs from {other!r} in case alone: choose another name", f"{kind}.{name}", name)


def _in_a_name(value: float | str) -> str:
    """A setting as part of a model's name."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _repeat(values: Sequence[Any]) -> bool:
    return len(set(values)) < len(values)


def _error(what: str, key: Any, value: Any, known: Iterable[str] = ()) -> PydanticCustomError:
    """A validation error at `key`, relative to its block; an unknown name gets the nearest of `known`."""
    known = list(known)
    near = difflib.get_close_matches(str(key if what == UNKNOWN else value), known, n=1, cutoff=0.4)
    hint = f"; nearest known: {near[0]!r}" if near else f"; known: {', '.join(known)}" if known else ""
    context = {"what": what, "hint": hint, "key": key, "value": value}
    return PydanticCustomError("confessions", "{what}{hint}", context)


def _first(error: ValidationError, data: Any) -> str:
    """The first error as one line, 'path = value: what'; unknown keys go first: they explain missing ones."""
    errors = sorted(error.errors(), key=lambda item: item.get("ctx", {}).get("what") != UNKNOWN)
    first, path = errors[0], []
    for part in first["loc"]:  # holds names of union members too, which the file does not have
        if part in (data if isinstance(data, Mapping) else range(len(data)) if isinstance(data, list) else ()):
            path.append(str(part))
            data = data[part]
    if first["type"].startswith("union_tag"):
        first = _kind(first, data)
    message = first["msg"][0].lower() + first["msg"][1:]
    if "what" in (context := first.get("ctx", {})):
        path.append(str(context["key"]))
        message = f" = {short(context['value'])}: {message}"
    elif first["type"] == "missing":
        path.append(str(first["loc"][-1]))
        message = ": this key is missing"
    else:
        message = f" = {short(data)}: {message}"
        if isinstance(data, str) and first["type"].startswith("float"):
            message += " (YAML wants a point: 1.0e-5, not 1e-5)"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return printable(f"{'.'.join(path) or 'the file'}{message}{more}")


def _kind(error: Mapping[str, Any], block: Any) -> dict[str, Any]:
    """The error of a block whose `kind` is unknown or missing, as `_error` and pydantic would have it."""
    if error["type"] == "union_tag_invalid":
        found = _error("unknown kind", "kind", block["kind"], re.findall(r"'([^']+)'", error["ctx"]["expected_tags"]))
    elif near := difflib.get_close_matches("kind", block, n=1):
        found = _error(UNKNOWN, near[0], block[near[0]], ["kind"])
    else:
        return {"type": "missing", "loc": ("kind",), "msg": error["msg"]}
    return {"type": found.type, "msg": found.message(), "ctx": found.context}
