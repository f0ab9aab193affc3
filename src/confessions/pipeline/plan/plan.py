"""What an experiment will take before anything is submitted: jobs, tokens, GPU hours and disk, with the arithmetic.

Tokens are upper bounds: every turn runs to its limit (`fill` says to which share of it), and a prompt is one token for
CHARS_PER_TOKEN characters. Hours are tokens over the rates of costs.py. What cannot be told is shown as `?` and named
under the totals. Nothing here imports torch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from itertools import cycle, islice
from random import Random

from confessions import prompts, tasks
from confessions.config import Config, Folder, Hub, LanguageModelJudge, Lora, Nano, PostTrained
from confessions.models import costs
from confessions.models.costs import CPU, DEVICES, Rates, Shape
from confessions.pipeline import specs
from confessions.pipeline.plan import sizes
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
        return self.n if self.rule.startswith(("sample", "score", "check")) and (self.turn1 or self.judged) else 0


@dataclass(frozen=True)
class Plan:
    """An experiment's jobs, each with its hours (None: not known), on `device`.

    `engine` says whose measured rates count; None: those of the engine that each job is configured with.
    """

    config: Config
    device: str
    engine: str | None = None
    fill: float = 1.0

    def __post_init__(self) -> None:
        costs.check_device(self.device)

    # -- tokens --------------------------------------------------------------------------------------------------------

    def jobs(self) -> list[Job]:
        """Every job of the workflow, as `snakemake -n --forceall` counts them, without the target `all`."""
        config, experiment = self.config, self.config.active
        policies = [experiment.policy] if experiment.train else []
        models = list(dict.fromkeys([*policies, *config.judges, *config.compared]))
        lineage = list(dict.fromkeys(key for model in models for key in self._lineage(model)))
        trained = [key for key in lineage if isinstance(config.models[key].source, PostTrained)]
        axes = sum(bool(axis) for axis in (experiment.scale, experiment.ladder))
        others = [key for key in config.compared if key not in policies]
        policy = []
        if experiment.train:
            grid = len(experiment.seeds) * len(experiment.train.save_steps) * len(experiment.evaluation.conditions)
            policy = [
                self._training(),
                replace(self._sampling("sample_policy", experiment.policy), n=len(specs.policy_shards(config))),
                self._scoring("score_policy", grid + (experiment.policy in config.compared)),
            ]
        return [
            *(Job("build_model", key) for key in lineage if key not in trained),
            *(self._post_training(key) for key in trained),
            *policy,
            *(self._sampling("sample_model", key) for key in others),
            *(self._scoring("score_model", 1, key) for key in others),
            *([self._judge_check()] if specs.checks_judge(config) else []),
            *([Job("write_logs")] if find_spec("inspect_ai") else []),
            Job("tables", n=1 + 6 * len(policies) + bool(experiment.survey) + axes + specs.checks_judge(config)),
            Job("figures", n=4 * len(policies) + axes),
        ]

    def _lineage(self, key: str) -> Iterator[str]:
        source = self.config.models[key].source
        if isinstance(source, PostTrained):
            yield from self._lineage(source.base)
        yield key

    def _turns(self, block) -> tuple[int, int]:
        return round(block.max_task_tokens * self.fill), round(block.max_confession_tokens * self.fill)

    def _training(self) -> Job:
        experiment, train = self.config.active, self.config.active.train
        rows = len(experiment.seeds) * train.steps * train.prompts_per_step * train.generations
        first, second = self._turns(train)
        task = experiment.task, experiment.problems
        x, xc = _prompt_tokens(*task, "baseline"), _request_tokens(*task, "default")
        length = x + first + xc + second
        return Job(
            "train_policy",
            experiment.policy,
            n=len(experiment.seeds),
            prompt=rows * (x + xc),
            turn1=rows * first,
            turn2=rows * second,
            trained=rows * length,
            judged=rows * self._judge_tokens(x, first),
            batch=train.prompts_per_step * train.generations // train.processes,
            length=length,
            passes=_passes(train.lora) + 2 * train.gradient_checkpointing + 2 * bool(train.kl_weight),
            full=not train.lora,
            reference=bool(train.kl_weight),
        )

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
        """SFT on texts that no model sampled, generated conversations or seeded answers: those very texts, counted. Of
        frozen answers, which may not have been sampled yet, as on generated conversations."""
        source = self.config.models[key].source
        task, rng = tasks.get(source.task), Random(source.seed)
        specs = islice(cycle(task.specs("train")), source.steps * source.prompts_per_step)
        lengths = []
        for spec in specs:
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
        """Turn 1 is sampled once for all variants of the request."""
        evaluation = self.config.active.evaluation
        first, second = self._turns(evaluation)
        job = Job(rule, key, batch=evaluation.batch_size)
        for block in (b for blocks in specs.rollout_spec(self.config, key)["files"].values() for b in blocks):
            task = block["task"], block.get("problems")
            xs = [_prompt_tokens(*task, condition) for condition in block["conditions"]]
            xcs = [_request_tokens(*task, variant) for variant in block["variants"]]
            answers = block["rollouts"] * len(xs)
            job = replace(
                job,
                prompt=job.prompt + block["rollouts"] * (sum(xs) + len(xs) * sum(xcs)),
                turn1=job.turn1 + answers * first,
                turn2=job.turn2 + answers * len(xcs) * second,
                length=max(job.length, max(xs) + first + max(xcs) + second),
            )
        return job

    def _scoring(self, rule: str, conditions: int, model: str = "") -> Job:
        """Of so many conditions, counted for each checkpoint and model. Variants ask about one answer: judged once."""
        experiment, evaluation = self.config.active, self.config.active.evaluation
        answers = conditions * evaluation.rollouts
        x, (first, _) = _prompt_tokens(experiment.task, experiment.problems, "baseline"), self._turns(evaluation)
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

    # -- hours ---------------------------------------------------------------------------------------------------------

    def place(self, key: str) -> str:
        """The device of a model, as its `gpu` in the configuration says."""
        return self.device if self.config.models[key].gpu else CPU

    def rates(self, job: Job) -> Rates:
        """Throughput of the job's model."""
        name, dtype = _name(self.config, job.model), self.config.models[job.model].dtype
        engine, place, batch = self.engine or self.engine_of(job), self.place(job.model), job.batch
        if engine == "vllm" and place != CPU:  # rows that its cache has no room for wait
            shape = self.shape(job.model)
            batch = max(1, min(batch, shape.rows(self.vllm_memory, job.length, dtype))) if shape else batch
        return costs.rates(name, dtype, place, engine, batch, job.length, job.passes, job.full)

    @property
    def vllm_memory(self) -> float:
        """What an evaluating vLLM takes of its GPUs for weights and cache, in bytes."""
        settings = self.config.active.vllm
        return settings.gpu_memory_utilization * settings.tensor_parallel_size * DEVICES[self.device][2]

    def engine_of(self, job: Job) -> str:
        experiment = self.config.active
        if job.rule == "train_policy":
            return experiment.train.engine
        return "transformers" if job.rule == "post_train_model" else experiment.engine

    def shape(self, key: str) -> Shape | None:
        return costs.shapes().get(_name(self.config, key))

    def hours(self, job: Job) -> float | None:
        """Of all `n` jobs together; None where a throughput is missing."""
        seconds = 0.0
        if job.turn1 or job.trained:
            rates = self.rates(job)
            parts = [(job.turn1 + job.turn2, rates.decode), (job.trained, rates.train)]
            if rates.prompt:
                parts.append((job.prompt, rates.prompt))
            if any(tokens and not rate for tokens, rate in parts):
                return None
            seconds += sum(tokens / rate for tokens, rate in parts if tokens)
        if job.judged:
            judge = self.rates(Job("judge", self.config.judges[0]))
            rate = judge.prompt or judge.decode
            if not rate:
                return None
            seconds += job.judged / rate
        return seconds / 3600

    def devices(self, job: Job) -> str:
        """Where the job runs: on the GPU as soon as one of its models does."""
        keys = [job.model] if job.turn1 or job.trained else []
        keys += self.config.judges if job.judged else []
        return next((self.place(key) for key in keys if self.place(key) != CPU), CPU)


# -- names and prompts -----------------------------------------------------------------------------------------------


def _name(config: Config, key: str) -> str:
    """How data/*.csv call a model: its repository, nano:size, gguf:file; a post-trained one is what it came from."""
    source = config.origin(key).source
    if isinstance(source, Hub):
        return source.repo
    if isinstance(source, Nano):
        return f"nano:{source.size}"
    return source.path if isinstance(source, Folder) else f"gguf:{source.file}"


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
    objectives = tasks.get(task).objectives(_instance(task, problems))
    return _tokens(prompts.confession_request(variant, objectives))


# -- text --------------------------------------------------------------------------------------------------------------


def render(plan: Plan) -> str:
    """The plan as text: jobs with tokens and hours, the throughputs behind them, disk, totals, what is not known."""
    jobs = plan.jobs()
    hours = {id(job): plan.hours(job) for job in jobs}
    table = [["rule", "model", "jobs", "prompt", "turn 1", "turn 2", "trained", "judge", "device", "hours"]]
    for job in jobs:
        counts = (job.prompt, job.turn1, job.turn2, job.trained, job.judged)
        busy = any(counts)
        time = _hours(hours[id(job)]) if busy else "-"
        table.append([job.rule, job.model or "-", str(job.n), *map(_count, counts), plan.devices(job), time])
    speeds = [["rule", "model", "device", "batch", "decode tok/s", "train tok/s", "prompt tok/s", "basis"]]
    for job in jobs:
        if job.turn1 or job.trained:
            rates = plan.rates(job)
            numbers = map(_rate, (rates.decode, rates.train if job.trained else 0, rates.prompt or 0))
            speeds.append([job.rule, job.model, plan.place(job.model), str(job.batch), *numbers, rates.basis])
    disk = sizes.disk(plan)
    disk_table = [["disk", "GB"], *([name, "?" if size is None else f"{size / 1e9:.2f}"] for name, size in disk)]
    totals = []
    for device in dict.fromkeys(plan.devices(job) for job in jobs):
        known = [hours[id(job)] for job in jobs if plan.devices(job) == device]
        least = "at least " if None in known else ""
        unit = "CPU hours (2 cores)" if device == CPU else f"GPU hours ({device})"
        totals.append(f"{least}{sum(h or 0 for h in known):.2f} {unit}")
    gigabytes = sum(size or 0 for _, size in disk) / 1e9
    totals.append(f"{'at least ' if any(s is None for _, s in disk) else ''}{gigabytes:.1f} GB of disk")
    unknown = sorted({job.model or "the judge" for job in jobs if hours[id(job)] is None})
    lines = [
        f"experiment {plan.config.experiment}: {sum(job.n for job in jobs)} jobs, "
        f"{sum(job.starts for job in jobs)} engine starts; turns at {plan.fill:.0%} of their limits",
        "", _aligned(table), "", _aligned(speeds), "", _aligned(disk_table), "",
        *sizes.too_large(plan),
        f"total: {'; '.join(totals)}",
    ]  # fmt: skip
    if any(plan.devices(job) == CPU for job in jobs):
        lines.append("CPU hours are of cores that no other job wants: beside others it takes longer")
    if unknown:
        lines.append(f"not counted, no throughput known: {', '.join(unknown)} (src/confessions/data/throughput.csv)")
    return "\n".join(lines)


SUMMARY = ("experiment", "GPU", "sampled", "trained", "GPU hours", "CPU hours (2 cores)", "disk, GB")


def summary(plan: Plan) -> list[str]:
    """One experiment as a row of the table in docs/costs.md; a `+` behind a number that leaves something out."""
    jobs, disk = plan.jobs(), sizes.disk(plan)
    hours = [(plan.devices(job), plan.hours(job)) for job in jobs if job.turn1 or job.trained or job.judged]
    gpu, cpu = ([h for place, h in hours if (place != CPU) == wanted] for wanted in (True, False))

    def total(numbers: Sequence[float | None], digits: int) -> str:
        return f"{sum(n or 0 for n in numbers):.{digits}f}{'+' * (None in numbers)}" if numbers else "-"

    return [
        plan.config.experiment,
        plan.device if gpu else "-",
        _count(sum(job.turn1 + job.turn2 for job in jobs)),
        _count(sum(job.trained for job in jobs)),
        total(gpu, 1),
        total(cpu, 2),
        total([size and size / 1e9 for _, size in disk], 1),
    ]


def table(config: Config, device: str, engine: str | None = None, fill: float = 1.0) -> str:
    """Every experiment's summary, as a Markdown table."""
    every = [config.model_copy(update={"experiment": name}) for name in config.experiments]
    rows = [SUMMARY, ["---"] * len(SUMMARY), *(summary(Plan(one, device, engine, fill)) for one in every)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _count(n: int) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if n >= size:
            return f"{n / size:.2f}{letter}"
    return str(n) if n else "-"


def _rate(rate: float | None) -> str:
    return "?" if rate is None else f"{rate:,.0f}" if rate else "-"


def _hours(hours: float | None) -> str:
    return "?" if hours is None else f"{hours:.2f}"
