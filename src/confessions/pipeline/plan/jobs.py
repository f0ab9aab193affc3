"""The jobs of an experiment and their tokens, counted from the configuration alone.

Tokens are upper bounds: every turn runs to its limit (`fill` says to which share of it), and a prompt is one token for
CHARS_PER_TOKEN characters.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from itertools import cycle, islice, product
from pathlib import Path
from random import Random

from confessions import prompts, tasks
from confessions.analysis import catalogue
from confessions.config import Config, LanguageModelJudge, Lora, PostTrained
from confessions.pipeline import paths, specs
from confessions.pipeline.subjects import calibrations, policy_shards, scored, subjects
from confessions.scoring.known_answers import known_answers

CHARS_PER_TOKEN = 4


@dataclass(frozen=True)
class Job:
    """Jobs of one rule for one model; tokens are summed over the `n` jobs."""

    rule: str
    model: str = ""  # key; empty: no model
    n: int = 1
    prompt: int = 0  # read, not generated; turn 2 goes on from turn 1's cache
    turn1: int = 0
    turn2: int = 0
    trained: int = 0
    judged: int = 0  # prompts of the judge, which is another model
    batch: int = 1  # rows generated together
    length: int = 1  # tokens of a whole conversation
    passes: int = 0  # operations a parameter and trained token
    full: bool = False  # every weight is trained
    reference: bool = False  # beside a reference model

    @property
    def starts(self) -> int:
        """Engines that are started to evaluate: one a job that samples rollouts, or judges them with a model."""
        return (
            self.n
            if self.rule.startswith(("calibrate", "sample", "score", "check")) and (self.turn1 or self.judged)
            else 0
        )


@dataclass(frozen=True)
class Counter:
    """Counts the tokens of an experiment's jobs; turns run to the share `fill` of their limits."""

    config: Config
    fill: float = 1.0

    def jobs(self) -> list[Job]:
        """Every job of the workflow, as `snakemake -n --forceall` counts them, without the target `all`."""
        config, experiment = self.config, self.config.active
        policies = [experiment.policy] if experiment.train else []
        calibrated = calibrations(config)
        keys = [*policies, *config.judges, *config.compared, *(key for key, _ in calibrated)]
        models = list(dict.fromkeys(keys))
        lineage = list(dict.fromkeys(key for model in models for key in self._lineage(model)))
        trained = [key for key in lineage if isinstance(config.models[key].source, PostTrained)]
        tables, figures = catalogue.of(config)
        logs = bool(find_spec("inspect_ai"))
        others = [key for key in config.compared if key not in policies]
        policy = []
        if experiment.train:
            judged = [s for s in scored(config) if s.base == experiment.policy and s.kind != "probe"]
            answered = sum(len(s.cells.conditions) for s in judged)
            policy = [
                self._training(),
                replace(self._sampling("sample_policy", experiment.policy), n=len(policy_shards(config))),
                self._scoring("score_policy", answered),
            ]
        return [
            *(Job("build_model", key) for key in lineage if key not in trained),
            *(self._calibration(*each) for each in calibrated),
            *(self._post_training(key) for key in trained),
            *policy,
            *(self._sampling("sample_model", key) for key in others),
            *(self._scoring("score_model", 1, key) for key in others),
            *([self._judge_check()] if specs.checks_judge(config) else []),
            *([Job("write_logs")] if logs else []),
            Job("tables", n=len(tables)),
            Job("figures", n=len(figures)),
            Job("view", n=len(tables) + len(figures) + logs + 1),
        ]

    def _lineage(self, key: str) -> Iterator[str]:
        source = self.config.models[key].source
        if isinstance(source, PostTrained):
            yield from self._lineage(source.base)
        yield key

    def _calibration(self, key: str, name: str) -> Job:
        """The answers that it measures, their prompts counted, and those that it keeps: these ask for levels that are
        not known before, and each prompt is taken for the longest."""
        evaluation, settings = self.config.active.evaluation, self.config.active.calibration
        prompt = answers = length = 0
        for asked in tasks.get(name).asked(settings.per_level, settings.samples):
            xs = [_tokens(asked.task.prompt(spec)) for spec in asked.specs]
            frozen = settings.frozen if tasks.get(name).freezes else None
            kept = frozen.samples * sum(frozen.instances(asked.task.part).values()) if frozen else 0
            prompt += asked.samples * sum(xs) + kept * max(xs)
            answers, length = answers + asked.samples * len(xs) + kept, max(length, *xs)
        first, _ = self._turns(evaluation)
        rule = "calibrate" if name == "instructions" else "calibrate_programs"
        return Job(rule, key, prompt=prompt, turn1=answers * first, batch=evaluation.batch_size, length=length + first)

    def _known(self, problems: str | None) -> str | None:
        """A file of problems; None, for the task's own, where the workflow has yet to make it."""
        made = {paths.calibration_file(*each) for each in product(self.config.models, paths.CALIBRATED)}
        return None if problems in made and not Path(problems).is_file() else problems

    def _turns(self, block) -> tuple[int, int]:
        return round(block.max_task_tokens * self.fill), round(block.max_confession_tokens * self.fill)

    def _training(self) -> Job:
        experiment, train = self.config.active, self.config.active.train
        rows = len(experiment.seeds) * train.steps * train.rollouts_per_step
        answers = rows // train.confessions_per_answer
        first, second = self._turns(train)
        task = experiment.task, self._known(experiment.problems)
        x, xc = _prompt_tokens(*task, "baseline"), _request_tokens(*task, train.variant)
        length = x + first + xc + second
        warm = train.warm_start
        shown = len(experiment.seeds) * warm.steps * warm.prompts_per_step if warm else 0
        confessed = (warm.examples or warm.steps * warm.prompts_per_step) * (warm.own or 0) if warm else 0
        own = len(experiment.seeds) * confessed
        # What rows that are read as one begin with: stored answers' and several confessions' rows with an answer too.
        several = train.confessions_per_answer > 1
        begun = x + (first + xc if train.answers or several else 0)
        alike = train.confessions_per_answer if several else train.generations
        read_again = rows - rows // alike if train.shared_prefix else 0
        return Job(
            "train_policy",
            experiment.policy,
            n=len(experiment.seeds),
            prompt=(answers + own) * x + (rows + own) * xc,
            turn1=0 if train.answers else answers * first,
            turn2=(rows + own) * second,
            trained=(rows + shown) * length - read_again * begun,
            judged=answers * self._judge_tokens(x, first) + self._graded(answers, first),
            batch=train.rollouts_per_step // train.processes,
            length=length,
            passes=_passes(train.lora) + 2 * train.gradient_checkpointing + 2 * bool(train.kl_weight),
            full=not train.lora,
            reference=bool(train.kl_weight),
        )

    def _graded(self, answers: int, answer: int) -> int:
        """What the judge reads of so many answers in training where it grades their confessions too: each objective, of
        stored answers once for all confessions."""
        train = self.config.active.train
        grader = train.confession_reward.grader
        if not grader or grader.by != "judge":
            return 0
        task = tasks.get(self.config.active.task, self._known(self.config.active.problems))
        objectives = task.objectives(task.specs("train")[0])
        different = answers // train.generations if train.answers else answers
        return different * sum(self._judge_tokens(_tokens(objective), answer) for objective in objectives)

    def _post_training(self, key: str) -> Job:
        source = self.config.models[key].source
        if source.data != "sampled":
            return self._imitation(key)
        sampled = source.steps * source.prompts_per_step * source.samples
        learnt = source.steps * source.prompts_per_step * {"sft": 1, "dpo": 2, "rl": source.samples}[source.method]
        x, answer = _prompt_tokens(source.task, None, "baseline"), round(source.max_new_tokens * self.fill)
        return Job(
            "post_train_model",
            key,
            prompt=sampled * x,
            turn1=sampled * answer,
            trained=learnt * (x + answer),
            batch=min(256, source.prompts_per_step * source.samples),
            length=x + answer,
            passes=_passes(source.lora) + 2 * bool(source.kl_weight),
            full=not source.lora,
            reference=bool(source.kl_weight),
        )

    def _imitation(self, key: str) -> Job:
        """SFT on texts that no model sampled, generated conversations or seeded answers: those very texts, counted."""
        source = self.config.models[key].source
        task, rng = tasks.get(source.task), Random(source.seed)
        n = source.steps * source.prompts_per_step
        lengths = []
        for spec in islice(cycle(task.specs("train")), n):
            if source.data == "seeded":
                answer = task.seed(spec, rng.random() < source.seeding.hack_fraction, source.seeding.reasoning, rng)
                lengths.append(_prompt_tokens(source.task, None, "baseline") + sum(map(_tokens, answer)))
            else:
                shown = task.demonstration(spec, rng)
                given = _prompt_tokens(shown.task, None, shown.condition)
                given += _request_tokens(shown.task, None, shown.variant)
                lengths.append(given + sum(map(_tokens, (shown.z, shown.y, shown.zc, shown.yc))))
        passes, full = _passes(source.lora), not source.lora
        return Job("post_train_model", key, trained=sum(lengths), length=max(lengths), passes=passes, full=full)

    def _sampling(self, rule: str, key: str) -> Job:
        """Turn 1 is sampled once for all variants of the request. Stored answers are read, and as long as its limit."""
        evaluation = self.config.active.evaluation
        job = Job(rule, key, batch=evaluation.batch_size)
        for cells in (subject.cells for subject in subjects(self.config, key)):
            first, second = (round(limit * self.fill) for limit in cells.limits(evaluation))
            task = cells.task, self._known(cells.problems)
            xs = [_prompt_tokens(*task, condition) for condition in cells.conditions]
            xcs = [_request_tokens(*task, variant) for variant in cells.variants]
            answers = cells.rollouts * len(xs)
            given, sampled = (first, 0) if cells.answers else (0, first)
            job = replace(
                job,
                prompt=job.prompt + cells.rollouts * sum(xs) + answers * (sum(xcs) + given),
                turn1=job.turn1 + answers * sampled,
                turn2=job.turn2 + answers * len(xcs) * second,
                length=max(job.length, max(xs) + first + max(xcs) + second),
            )
        return job

    def _scoring(self, rule: str, conditions: int, model: str = "") -> Job:
        """Of so many conditions, counted for each checkpoint and model. Variants ask about one answer: judged once."""
        experiment, evaluation = self.config.active, self.config.active.evaluation
        answers = conditions * evaluation.rollouts
        x = _prompt_tokens(experiment.task, self._known(experiment.problems), "baseline")
        first, _ = self._turns(evaluation)
        return Job(rule, model, judged=answers * self._judge_tokens(x, first))

    def _judge_check(self) -> Job:
        """The set of answers made by code, counted."""
        task = tasks.get(self.config.active.task)
        every = [(_tokens(task.prompt(known.spec)), _tokens(known.text)) for known in known_answers(task)]
        return Job("check_judge", judged=sum(self._judge_tokens(*pair) for pair in every))

    def _judge_tokens(self, x: int, answer: int) -> int:
        """What the judge reads of one answer; 0 where the judge is no model."""
        if not isinstance(self.config.active.judge, LanguageModelJudge):
            return 0
        return _tokens(prompts.load(tasks.get(self.config.active.task).judge_text)) + x + answer


def _passes(lora: Lora | None) -> int:
    """Operations a parameter and trained token, there and back; frozen weights need no gradient of their own."""
    return 4 if lora else 6


def _tokens(text: str) -> int:
    return -(-len(text) // CHARS_PER_TOKEN)


@cache
def _instance(task: str, problems: str | None) -> tasks.Spec:
    """What stands for all of a task's instances: the first, or the longest of a file."""
    chosen = tasks.get(task, problems)
    every = chosen.specs("evaluation")
    return max(every, key=lambda spec: len(chosen.prompt(spec))) if problems else every[0]


def _prompt_tokens(task: str, problems: str | None, condition: str) -> int:
    return _tokens(prompts.system_prompt(condition) + tasks.get(task).prompt(_instance(task, problems)))


def _request_tokens(task: str, problems: str | None, variant: str) -> int:
    return _tokens(tasks.get(task).request(_instance(task, problems), variant))
