"""What a plan's experiment takes on disk, and whether its models fit a GPU's memory. Nothing here imports torch."""

from __future__ import annotations

from confessions.config import Gguf, Model, PostTrained
from confessions.models.costs import CPU, DEVICES, SIZE
from confessions.pipeline.plan.jobs import Job
from confessions.pipeline.plan.plan import Plan
from confessions.training import gpu_memory

ROLLOUT_BYTES = 10  # of a Parquet file for each token; 3.3 on the embedded model, whose vocabulary is small
TRAINING_BYTES = 7  # likewise of training rollouts (docs/training.md)
RESUMED = 12  # of these without the gradient, in a checkpoint to go on from


def disk(plan: Plan) -> list[tuple[str, int | None]]:
    """What is written, in bytes; None where the model's shape is not known."""
    config, jobs = plan.config, plan.jobs()
    rows: list[tuple[str, int | None]] = []
    for job in jobs:
        if job.rule in ("build_model", "post_train_model"):
            shape, size = plan.shape(job.model), _stored_bytes(config.models[job.model])
            rows.append((f"weights of {job.model}", shape.parameters * size if shape else None if size else 0))
    if config.active.train:
        rows += _checkpoints(plan)
        kept = sum(job.prompt + job.turn1 + job.turn2 for job in jobs if job.rule == "train_policy")
        rows.append(("training rollouts, in the working folder and published", 2 * kept * TRAINING_BYTES))
    sampled = [job for job in jobs if job.rule in ("calibrate", "calibrate_programs", "sample_policy", "sample_model")]
    tokens = sum(job.prompt + job.turn1 + job.turn2 for job in sampled)
    return [*rows, ("rollouts", tokens * ROLLOUT_BYTES)]


def _checkpoints(plan: Plan) -> list[tuple[str, int | None]]:
    """Adapters and their two moments are float32. A checkpoint that is a model is stored once, under two names, in its
    own dtype; to go on from are two copies of float32 weights and moments, and one that is being written."""
    experiment = plan.config.active
    train, shape, seeds = experiment.train, plan.shape(experiment.policy), len(experiment.seeds)
    kept = len(train.kept_steps)
    if train.lora:
        size = 4 * shape.adapter_parameters(train.lora.rank) if shape else None
        kinds = [("adapters, in the working folder and published", 2 * kept), ("two checkpoints to resume", 6)]
        return [(f"{what}: {seeds} x {n} adapters", size and seeds * n * size) for what, n in kinds]
    dtype = plan.config.models[experiment.policy].dtype
    return [
        (f"models of the checkpoints: {seeds} x {kept}", shape and seeds * kept * shape.parameters * SIZE[dtype]),
        (f"to resume, while training runs: {seeds} x 3", shape and seeds * 3 * shape.parameters * RESUMED),
    ]


def too_large(plan: Plan) -> list[str]:
    """Models that do not fit the memory of one device, a line each: while they are trained, or with their cache, where
    nothing can wait for it."""
    jobs = [job for job in plan.jobs() if job.model and plan.shape(job.model) and plan.place(job.model) != CPU]
    training = [_too_large_to_train(plan, job) for job in jobs if job.full]
    training += [_step_too_large(plan, job) for job in jobs if job.rule == "train_policy" and not job.full]
    return [line for line in (*training, *(_too_large_to_sample(plan, job) for job in jobs if job.turn1)) if line]


def _too_large_to_train(plan: Plan, job: Job) -> str | None:
    """Weights, gradients, moments and reference model, shared out to the processes; to sample, each of them holds all
    weights once more, in the model's own dtype. Activations and the cache come on top."""
    n, fix = 1, "name an adapter (lora)"
    if job.rule == "train_policy":
        n, fix = plan.config.active.train.processes, "raise train.processes"
    size, memory = SIZE[plan.config.models[job.model].dtype], DEVICES[plan.device].memory
    alone = n == 1 and size == SIZE["float32"]  # then they are sampled from as they are
    reference = (size if n > 1 else SIZE["float32"]) if job.reference else 0
    each = plan.shape(job.model).parameters * ((gpu_memory.TRAINED + reference) / n + (0 if alone else size))
    if each <= memory:
        return None
    return (
        f"{job.rule} {job.model}: training every weight takes {each / 1e9:.1f} GB, activations apart, on each of {n} "
        f"{plan.device} ({memory / 1e9:.0f} GB): {fix}"
    )


def _step_too_large(plan: Plan, job: Job) -> str | None:
    """A step that trains an adapter, at its peak; the largest part is named."""
    train, shape, memory = plan.config.active.train, plan.shape(job.model), DEVICES[plan.device].memory
    trained, dtype = shape.adapter_parameters(train.lora.rank), plan.config.models[job.model].dtype
    parts = gpu_memory.training(train, shape, trained, dtype, job.length, memory)
    if (needed := sum(parts.values())) <= memory:
        return None
    largest = max(parts, key=parts.__getitem__)
    return (
        f"{job.rule} {job.model}: a step takes {needed / 1e9:.1f} GB, of which {largest} {parts[largest] / 1e9:.1f}, "
        f"on each {plan.device} ({memory / 1e9:.0f} GB): lower micro_batch, or set gradient_checkpointing"
    )


def _too_large_to_sample(plan: Plan, job: Job) -> str | None:
    shape, dtype, memory = plan.shape(job.model), plan.config.models[job.model].dtype, DEVICES[plan.device].memory
    batch, room, fix = job.batch, memory, "lower the batch, or use two devices"
    if (plan.engine or plan.engine_of(job)) == "vllm":  # its cache takes what is left; one row has to fit
        batch, room, fix = 1, plan.vllm_memory, "raise vllm.tensor_parallel_size"
    weights, cache = shape.parameters * SIZE[dtype], batch * job.length * shape.cache_bytes(dtype)
    if weights + cache <= room:
        return None
    return (
        f"{job.rule} {job.model}: weights {weights / 1e9:.1f} GB + cache {cache / 1e9:.1f} GB at batch {batch} exceed "
        f"one {plan.device} ({memory / 1e9:.0f} GB): {fix}"
    )


def _stored_bytes(model: Model) -> int:
    """Bytes of a parameter in the model's folder: hubs hold bfloat16; a folder is linked and takes nothing."""
    if isinstance(model.source, PostTrained):
        return SIZE[model.dtype]
    if isinstance(model.source, Gguf):
        return SIZE[model.source.dtype or "float32"]
    return {"nano": 4, "hub": 2, "folder": 0, "inspect": 0}[model.source.kind]
