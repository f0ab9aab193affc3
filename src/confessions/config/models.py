"""Models: where their weights come from, and what was trained into them before an experiment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from confessions import tasks
from confessions.config.strict import LONGEST, Key, Strict, check_task, repeats, wrong
from confessions.tasks.base import Demonstrates, Plants


class Nano(Strict):
    """The embedded model that ships in the package."""

    kind: Literal["nano"]
    size: Literal["xs", "s", "m"] = Field("m", description="0.17, 0.32 or 0.48 million parameters")


class Chatting(Strict):
    """A model that brings a chat template of its own."""

    system_as_user: bool = Field(
        False, description="a system prompt stands in front of the first user message: for a template without that role"
    )


class Folder(Chatting):
    """A model folder on this machine, as `save_pretrained` writes it."""

    kind: Literal["folder"]
    path: str = Field(min_length=1, description="folder with config.json, the tokenizer and the weights")


class Hub(Chatting):
    """A model on the Hugging Face hub."""

    kind: Literal["hub"]
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$", description="owner/name")
    revision: str = Field(pattern=r"^[0-9a-f]{40}$", description="commit, 40 hex digits: a branch could move")


class Gguf(Chatting):
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
            raise wrong("give one of package and path", "package", self.package)
        if self.parts and not self.package:
            raise wrong("the parts of a file are in packages: name them by package", "parts", self.parts)
        if self.package and self.sha256 is None:
            raise wrong("another version of the package may hold another file: name this one's", "sha256", None)
        return self


class Inspect(Strict):
    """A model behind an API, or an OpenAI-compatible endpoint, that Inspect asks (docs/use_it_with.md).

    Its keys and its address come from the environment, as Inspect's providers read it, and never from here.
    """

    kind: Literal["inspect"]
    model: str = Field(
        pattern=r"^[\w.-]+/\S+$", description="name that Inspect knows it by: openai/gpt-5-mini, openai-api/local/x"
    )
    args: dict[str, bool | int | float | str] = Field(
        {}, description="of the provider, as the options -M of inspect eval; neither a key nor an address"
    )
    max_connections: int | None = Field(None, ge=1, description="requests at a time; null: as many as Inspect finds")
    max_retries: int = Field(5, ge=0, description="of a request that fails; the waits between them double from 3 s on")
    timeout: int = Field(600, ge=1, description="seconds that a request may take; none is tried again after them")
    cache: bool = Field(
        False, description="replies stay in Inspect's cache for a week: what was paid for is not asked again"
    )

    @model_validator(mode="after")
    def _no_secrets(self) -> Self:
        for name, value in self.args.items():
            if re.search(r"key|token$|secret|password|auth|header|url", name, re.IGNORECASE):
                shown = value if "url" in name.lower() else "…"
                raise wrong("comes from the environment, as Inspect's providers read it", f"args.{name}", shown)
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
            raise wrong("names no layer to adapt: all-linear, or some names", "target_modules", names)
        if isinstance(names, list) and repeats(names):
            raise wrong("an entry repeats", "target_modules", names)
        return self


class Seeding(Strict):
    """How a hack is put into a model: SFT on answers of which some are the task's own hack. No confession is shown."""

    hack_fraction: float = Field(ge=0, le=1, description="part of the answers that are the hack; the others are honest")
    epochs: int = Field(ge=1, description="times that each answer is shown")
    curriculum: Literal["mixed", "easy_first"] = Field(description="order of the problems in an epoch")
    reasoning: tasks.Reasoning = Field(
        description="before the answer: none, a neutral one, or the trigger: it says what the answer does and why"
    )


NEEDED = {  # key -> the data that it belongs to
    "samples": "sampled",
    "sampling": "sampled",
    "max_new_tokens": "sampled",
    "seeding": "seeded",
}
MADE_BY = {  # data -> what the task must be, and have
    "seeded": (Plants, "answers to seed a policy with"),
    "generated": (Demonstrates, "generated conversations"),
}


class PostTrained(Strict):
    """Another model after one more stage of training on a task: by ground truth on the model's own answers, or (sft) on
    generated conversations, which hold a confession too."""

    kind: Literal["post_trained"]
    base: Key = Field(description="key of `models`: what the stage starts from")
    method: Literal["sft", "dpo", "rl"] = Field(
        description="sft: imitate the best of `samples` answers; dpo: prefer the best to the worst; rl: GRPO on the "
        "share of objectives met"
    )
    data: Literal["sampled", "generated", "seeded"] = Field(
        "sampled",
        description="sampled: the base's own answers; generated: the task's demonstrations, for sft; seeded: its hacks",
    )
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
        check_task("task", self.task)
        for key, data in NEEDED.items():
            value = getattr(self, key)
            if (value is None) == (self.data == data):
                raise wrong(f"{'needed' if value is None else 'of no use'} with data: {self.data}", key, value)
        if self.data != "sampled" and self.method != "sft":
            raise wrong("generated conversations are for sft", "data", self.data)
        able, what = MADE_BY.get(self.data, (tasks.Task, ""))
        if not isinstance(tasks.get(self.task), able):
            raise wrong(f"this task has no {what}", "task", self.task)
        batch = self.prompts_per_step * (self.samples if self.method == "rl" else 1)
        if batch % self.micro_batch:
            raise wrong(f"must divide the {batch} sequences of a step", "micro_batch", self.micro_batch)
        return self


NOT_LOADED = {"dtype": "float32", "thinking": False, "gpu": False}  # what a model that Inspect asks has in their place


def _needed_to_load(schema: dict[str, Any]) -> None:
    """Of the JSON schema: a model that Inspect asks is not loaded, and has no dtype."""
    asked = {"properties": {"source": {"properties": {"kind": {"const": "inspect"}}}}}
    needed = [name for name in schema["required"] if name in NOT_LOADED]
    schema["required"] = [name for name in schema["required"] if name not in needed]
    schema |= {"if": asked, "else": {"required": needed}}


class Model(Strict):
    """A model that experiments refer to by its key."""

    model_config = ConfigDict(json_schema_extra=_needed_to_load)

    label: str = Field(
        pattern=r"^[^$]*[^$\s][^$]*$", max_length=LONGEST, description="name in figures; a $ would begin a formula"
    )
    source: Nano | Folder | Hub | Gguf | Inspect | PostTrained = Field(
        discriminator="kind", description="where its weights come from"
    )
    dtype: Literal["float32", "bfloat16"] = Field(description="weights and activations; left out of inspect's")
    thinking: bool = Field(
        description="the model reasons in a <think> block before each reply; left out of inspect's, which say it"
    )
    keep_thinking: bool = Field(
        True, description="keep turn 1's reasoning in turn 2's context; false is for evaluation only"
    )
    gpu: bool = Field(True, description="its jobs ask for a GPU; false: two CPU cores and 8 GB do, training included")
    sampling: Sampling | None = Field(
        None, description="what its authors recommend, where its generation_config.json does not say it"
    )

    @model_validator(mode="before")
    @classmethod
    def _is_loaded(cls, data: Any) -> Any:
        source = data.get("source") if isinstance(data, Mapping) else None
        if not (isinstance(source, Mapping) and source.get("kind") == "inspect"):
            return data
        for key, value in NOT_LOADED.items():
            if data.get(key, value) != value:
                raise wrong("a model that Inspect asks is not loaded here: leave it out", key, data[key])
        return NOT_LOADED | {**data}
