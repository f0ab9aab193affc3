"""An experiment's jobs with their hours: tokens over the rates of costs.py. Nothing here imports torch."""

from dataclasses import dataclass

from confessions.config import Config, Folder, Gguf, Hub, Nano
from confessions.models import costs
from confessions.models.costs import CPU, DEVICES, Rates, Shape
from confessions.pipeline.plan.jobs import Counter, Job


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

    def jobs(self) -> list[Job]:
        """Every job of the workflow, as `snakemake -n --forceall` counts them, without the target `all`."""
        return Counter(self.config, self.fill).jobs()

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
        return settings.gpu_memory_utilization * settings.tensor_parallel_size * DEVICES[self.device].memory

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


def _name(config: Config, key: str) -> str:
    """How data/*.csv call a model: its repository, nano:size, gguf:file; one that Inspect asks has its
    name there; a post-trained one is what it came from."""
    source = config.origin(key).source
    if isinstance(source, Hub):
        return source.repo
    if isinstance(source, Nano):
        return f"nano:{source.size}"
    if isinstance(source, Gguf):
        return f"gguf:{source.file}"
    return source.path if isinstance(source, Folder) else source.model
