"""Experiments, the whole of config.yaml, and how it is loaded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from confessions import prompts, tasks
from confessions.config.evaluation import Calibration, Evaluation, Probe, Survey, Sweep, Vllm
from confessions.config.file import ConfigError, check, laid_over, read
from confessions.config.models import Inspect, Model, PostTrained
from confessions.config.strict import Key, Strict, check_task, check_variant, first_wrong, repeats, wrong
from confessions.config.training import LabelTrusting, LanguageModelJudge, OwnJudge, Train, Verifying
from confessions.prompts.report import COPIED
from confessions.runtime import folders
from confessions.runtime.errors import InputError
from confessions.tasks import calibrated
from confessions.tasks.base import Calibrates, Copies, GivesEvidence, Plants, PlantsFaults, ReadsProblems


class Experiment(Strict):
    """Which policy learns which task from which judge, and what is measured.

    Without `train` nothing is trained: the policy, if there is one, and the models of the axes are measured as they
    are, each in all conditions and variants.
    """

    task: str = Field(description="folder of src/confessions/tasks, or the path of one")
    policy: Key | None = Field(None, description="key of `models`; what is trained, or without train measured")
    judge: LabelTrusting | Verifying | LanguageModelJudge | OwnJudge = Field(
        discriminator="kind", description="gives the task reward"
    )
    problems: str | None = Field(
        None,
        min_length=1,
        description="file that the task's instances come from: JSONL of problems or a calibration for a programming "
        "task (docs/problems.md), a calibration for instructions (docs/instructions.md)",
    )
    calibration: Calibration = Field(
        default_factory=Calibration, description="of instructions or problems; made where `problems` names its file"
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
        if self.train and not self.policy:
            raise wrong("what is trained? name a key of `models`, or leave out train", "policy", None)
        if not self.train and self.survey:
            raise wrong("a survey is of a policy that is trained, and there is none", "survey", self.survey.task)
        if not self.train and self.seeds != [0]:
            raise wrong("seeds are of training, and nothing is trained: leave them out", "seeds", self.seeds)
        if not self.train and self.evaluation.shards > 1:
            where = "they share the files of a policy that is trained: leave it at 1"
            raise wrong(where, "evaluation.shards", self.evaluation.shards)
        if not (self.train or self.compared):
            raise wrong("neither a policy nor models of an axis: nothing to do", "scale", self.scale)
        for key, task in (("task", self.task), ("survey.task", self.survey and self.survey.task)):
            if task is not None:
                check_task(key, task)
        for key, (task, problems) in self.problem_files.items():
            if not isinstance(tasks.get(task), ReadsProblems):
                raise wrong("this task reads no file of problems", key, problems)
        measured = tasks.get(self.task)
        if self.calibration.frozen and isinstance(measured, Calibrates) and not measured.freezes:
            raise wrong("all answers to this task are kept: leave it out", "calibration.frozen", "…")
        if self.problems and self.seeding:
            raise wrong("a sweep seeds with the task's own problems: leave one out", "problems", self.problems)
        warm = self.train and self.train.warm_start
        if warm and not warm.own:
            if not isinstance(measured, GivesEvidence):
                raise wrong("this task has no evidence to confess with: leave it out", "train.warm_start", "…")
            if self.train.variant == COPIED and not isinstance(measured, Copies):
                raise wrong("this task does not copy answers out", "train.variant", COPIED)
        if self.train and self.train.confession_reward.finding_weight and not isinstance(measured, GivesEvidence):
            where = "train.confession_reward.finding_weight"
            raise wrong("this task has no evidence to compare with: set it to 0", where, "…")
        grader = self.train and self.train.confession_reward.grader
        if grader and grader.by == "judge" and not isinstance(self.judge, LanguageModelJudge):
            raise wrong("the judge is no language model: give kind: llm", "judge.kind", self.judge.kind)
        if self.survey and not tasks.get(self.survey.task).surveyed:
            raise wrong("the hack survey's detectors do not read this task", "survey.task", self.survey.task)
        if self.train and not self.train.lora and self.evaluation.shards > 1:
            where = "every checkpoint is a model, and a job of its own: leave it at 1"
            raise wrong(where, "evaluation.shards", self.evaluation.shards)
        for key, (task, variant) in self._requests.items():
            check_variant(key, task, variant)
        for key in ("seeds", "scale", "ladder"):
            if repeats(getattr(self, key)):
                raise wrong("an entry repeats", key, getattr(self, key))
        return self

    @model_validator(mode="after")
    def _tasks_plant_faults(self) -> Self:
        for name, probe in self.evaluation.probes.items():
            task = tasks.get(probe.task or self.task)
            if probe.one_fault and not isinstance(task, PlantsFaults):
                raise wrong(f"the task {task.name} has no such answers", f"evaluation.probes.{name}.one_fault", True)
        return self

    @property
    def compared(self) -> list[str]:
        """Keys of the models that are measured as they are, each once: those of the axes, and before them a policy that
        is not trained."""
        alone = [self.policy] if self.policy and not self.train else []
        return list(dict.fromkeys([*alone, *self.scale, *self.ladder]))

    @property
    def _requests(self) -> dict[str, tuple[str, str]]:
        """Each variant of the request with the task that it is about, by the key that names it."""
        evaluation = self.evaluation
        asked = {"evaluation.variants": (self.task, evaluation.variants)}
        for name, probe in evaluation.probes.items():
            asked[f"evaluation.probes.{name}.variants"] = probe.task or self.task, self.variants_of(probe)
        named = {f"{key}.{i}": (task, v) for key, (task, variants) in asked.items() for i, v in enumerate(variants)}
        return named | ({"train.variant": (self.task, self.train.variant)} if self.train else {})

    def variants_of(self, probe: Probe) -> list[str]:
        """Its own, or those of the evaluation but for wordings that its task has not."""
        own, asked = (tasks.get(task).variants().keys() for task in (self.task, probe.task or self.task))
        foreign = own - asked - {*prompts.names("variants")}
        return probe.variants or [name for name in self.evaluation.variants if name not in foreign]

    @property
    def problem_files(self) -> dict[str, tuple[str, str]]:
        """Each file of problems with its task, by the key that names it: the experiment's, and those of probes."""
        files = {"problems": (self.task, self.problems)}
        for name, probe in self.evaluation.probes.items():
            files[f"evaluation.probes.{name}.problems"] = probe.task or self.task, probe.problems
        return {key: pair for key, pair in files.items() if pair[1]}

    @property
    def trained_on(self) -> dict[str, str]:
        """The files of stored answers that training reads, by the key that names each."""
        warm, answers = self.train and self.train.warm_start, self.train and self.train.answers
        named = {"train.warm_start.answers": warm and warm.answers, "train.answers": answers}
        return {key: file for key, file in named.items() if file}

    @property
    def read_files(self) -> dict[str, str]:
        """The files that rollouts are made from, of problems and of stored answers, by the key that names each."""
        probes = self.evaluation.probes.items()
        answers = {f"evaluation.probes.{name}.answers": probe.answers for name, probe in probes if probe.answers}
        return {key: file for key, (_, file) in self.problem_files.items()} | answers


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
            raise wrong("unknown experiment", "experiment", self.experiment, self.experiments)
        whole = self
        for name, experiment in self.experiments.items():
            whole = whole._with_sweep(name, experiment)
        for kind in ("models", "experiments"):
            _check_names(kind, getattr(whole, kind))
        for key, model in whole.models.items():
            whole._check_lineage(key, model)
        for name, experiment in whole.experiments.items():
            whole._check_experiment(name, experiment)
        return whole

    def _check_key(self, path: str, key: str) -> None:
        """`key`, which stands at `path`, is one of `models`."""
        if key not in self.models:
            raise wrong("unknown model", path, key, self.models)

    def _check_weights(self, path: str, key: str) -> None:
        """`key`, which stands at `path`, is a model that can be trained."""
        self._check_key(path, key)
        if isinstance(self.models[key].source, Inspect):
            raise wrong("a model that Inspect asks has no weights here, and cannot be trained", path, key)

    def _check_experiment(self, name: str, experiment: Experiment) -> None:
        """Its models are known, and can be what it makes of them."""
        for axis in ("scale", "ladder"):
            for number, key in enumerate(getattr(experiment, axis)):
                self._check_key(f"experiments.{name}.{axis}.{number}", key)
        if experiment.policy:
            check = self._check_weights if experiment.train else self._check_key
            check(f"experiments.{name}.policy", experiment.policy)
            if experiment.train and not self.models[experiment.policy].keep_thinking:
                # Loss and rollout must see one sequence; without z the confession's context is another one.
                raise wrong(
                    "a policy is trained with its reasoning in context; evaluate it under another key of `models`",
                    f"models.{experiment.policy}.keep_thinking",
                    False,
                )
        self._check_instances(name, experiment)
        for path, file in (experiment.read_files | experiment.trained_on).items():
            key = calibrated.of_model(file)
            if key in self.models and isinstance(self.models[key].source, Inspect):
                raise wrong("a model that Inspect asks has no calibration", f"experiments.{name}.{path}", file)
        if isinstance(judge := experiment.judge, LanguageModelJudge):
            path = f"experiments.{name}.judge.model"
            self._check_key(path, judge.model)
            if self.models[judge.model].thinking:
                raise wrong("a judge does not think: name a model with thinking: false", path, judge.model)

    def _check_instances(self, name: str, experiment: Experiment) -> None:
        """Instances that were chosen for a model are asked of it, or of one that was trained from it; on the axes
        others may stand beside it."""
        keys = [experiment.policy] if experiment.train else experiment.compared
        for path, (task, problems) in experiment.problem_files.items():
            refused = []
            for key in keys:
                try:
                    tasks.get(task, problems).check_model(self.origin(key).source.model_dump(), self.origin_key(key))
                except InputError as error:
                    refused.append(error)
            if len(refused) == len(keys):
                raise wrong(str(refused[0]), f"experiments.{name}.{path}", problems)

    def _with_sweep(self, name: str, experiment: Experiment) -> Self:
        """This configuration with the models of one experiment's sweep, where it has one."""
        if not (sweep := experiment.seeding):
            return self
        path = f"experiments.{name}.seeding"
        self._check_weights(f"{path}.base", sweep.base)
        base = self.models[sweep.base]
        if set(sweep.reasonings) != {"none"} and not base.thinking:
            raise wrong("a model that does not think has none", f"{path}.reasonings", sweep.reasonings)
        if not isinstance(tasks.get(experiment.task), Plants):
            raise wrong("this task has no answers to seed a policy with", f"experiments.{name}.task", experiment.task)
        if sweep.prompts_per_step % sweep.micro_batch:
            raise wrong("must divide prompts_per_step", f"{path}.micro_batch", sweep.micro_batch)
        models = dict(self.models)
        for key, model in sweep.models(experiment.task, base).items():
            if models.setdefault(key, model) != model:
                raise wrong("another model has the name of one of this sweep's", path, key)
        return self.model_copy(update={"models": models})

    def _check_lineage(self, key: str, model: Model) -> None:
        """The bases of a post-trained model are known models and do not run in a circle."""
        seen = [key]
        while isinstance(model.source, PostTrained):
            base = model.source.base
            self._check_weights(f"models.{seen[-1]}.source.base", base)
            if base in seen:
                raise wrong("a model comes from itself", f"models.{seen[-1]}.source.base", base)
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
        """Keys of the models that the active experiment measures as they are, each once."""
        return self.active.compared

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
    data, where = (source, "config.yaml") if isinstance(source, Mapping) else (read(source), source)
    for where in more:  # an error is said of the last file
        data = laid_over(data, read(where))
    try:
        check(data)
        return Config.model_validate(data)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    except ValidationError as error:
        raise ConfigError(f"{where}: {first_wrong(error, data)}") from None
    except RecursionError:
        raise ConfigError(f"{where}: nested too deeply, or in itself") from None


def _check_names(kind: str, names: Iterable[str]) -> None:
    """Names become folders and parts of logs' names: of results there is no other of the name, whether or not a file
    system minds the case."""
    known: dict[str, str] = {}
    for name in names:
        if name.lower() in folders.TAKEN:
            raise wrong("a folder of results is called so: choose another name", f"{kind}.{name}", name)
        if re.match(r"seed\d+-(step|training)", name, re.IGNORECASE):
            raise wrong("logs of a training run are called so: choose another name", f"{kind}.{name}", name)
        if (other := known.setdefault(name.lower(), name)) != name:
            raise wrong(f"differs from {other!r} in case alone: choose another name", f"{kind}.{name}", name)
