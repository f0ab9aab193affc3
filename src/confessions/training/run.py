"""One training run: from a model folder to checkpoints (LoRA adapters, or whole models), and of each step a line of
metrics and its rollouts.

Work goes on in a folder of the run's own, named by the hash of everything that the run depends on; a run that was
killed goes on from its newest whole checkpoint there. What is finished is copied out at the end. Several processes
(confessions.runtime.processes) share each step's rollouts; the first of them writes all files.
"""

import errno
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from datasets import Dataset
from peft import PeftModel
from transformers import PreTrainedModel, PrinterCallback
from trl import GRPOConfig

from confessions import engines
from confessions.config import Train
from confessions.engines import Completion, vllm
from confessions.engines.policy import PolicyEngine, folder_in_memory
from confessions.models import loading
from confessions.models.chat import Chat
from confessions.prompts import digest
from confessions.rollouts.answers import completions, stored
from confessions.rollouts.two_turns import check_lengths
from confessions.runtime.errors import InputError
from confessions.runtime.files import published, published_folder
from confessions.scoring.judge import Judge
from confessions.tasks.base import Spec, Task
from confessions.training import checkpoints, gpu_memory, sharding, shared_prefix, tracking, warm_start
from confessions.training.arguments import trl_arguments
from confessions.training.base import Base
from confessions.training.callbacks import WATCHES, Keeper, MetricsLog, RolloutKeeper, above_the_bar
from confessions.training.kept_rollouts import FOLDER, step_file
from confessions.training.trainer import DualSpanGRPOTrainer

RESUME_EVERY = 5  # steps between the checkpoints that a killed run goes on from
WAIT = timedelta(hours=2)  # for the other processes' rollouts and verdicts, which may be much longer than one's own


def config_hash(spec: Mapping[str, Any]) -> str:
    """Twelve hex digits that name a resolved block of the configuration."""
    return digest(json.dumps(spec, sort_keys=True))


def checkpoint_folders(settings: Train, run: Path) -> dict[int, Path]:
    """Where each checkpoint lies below a run's folder: adapters, or the models of all steps but 0."""
    kind = "adapters" if settings.lora else "models"
    return {step: run / kind / f"step_{step}" for step in settings.kept_steps}


def rollout_files(settings: Train, run: Path) -> dict[int, Path]:
    """Where the rollouts of each step lie below a run's folder."""
    return {step: step_file(run / FOLDER, step) for step in range(1, settings.steps + 1)}


def join(settings: Train) -> PartialState:
    """This process among those that train together; of several, each has its own GPU from here on (without GPUs: gloo
    on the CPU). Raises InputError when they are not as many as settings.processes."""
    if _on_cpu():
        os.environ.setdefault("ACCELERATE_TORCH_DEVICE", "cpu")  # not cpu:0, onto which torch loads no checkpoint
    state = PartialState(cpu=_on_cpu(), timeout=WAIT)
    if state.num_processes != settings.processes:
        raise InputError(
            f"train.processes is {settings.processes}, and this run has {state.num_processes}: leave it to "
            "`confessions train` to start them, or change train.processes"
        )
    if settings.sharded:
        sharding.require_gpus()
    return state


def _on_cpu() -> bool:
    """Several processes without a GPU, which accelerate wants to be told."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and not torch.cuda.is_available()


def trainer_arguments(settings: Train, seed: int, output: Path, dtype: str) -> GRPOConfig:
    """TRL's arguments for our settings; everything that could mix the two spans is off (trainer._refuse_mixing)."""
    rows = settings.rollouts_per_step // settings.processes
    micro_batch = rows if settings.micro_batch_tokens else settings.micro_batch  # the trainer takes them apart itself
    return GRPOConfig(
        **trl_arguments(settings, seed, output, dtype, rows, micro_batch),
        num_generations=settings.generations * settings.confessions_per_answer,  # of a prompt, in a row
        max_completion_length=settings.max_task_tokens + settings.max_confession_tokens,
        warmup_steps=settings.warmup_steps,
        max_grad_norm=settings.max_grad_norm,
        beta=settings.kl_weight,
        **settings.sampling.model_dump(),
        loss_type="dr_grpo",
        save_steps=RESUME_EVERY,
        shuffle_dataset=False,  # prompt_order
        **(
            sharding.arguments(settings)
            if settings.sharded
            else {"gradient_checkpointing": settings.gradient_checkpointing}
        ),
    )


def check_memory(settings: Train, base: Base, longest: int) -> None:
    """Raise InputError where a training step on rollouts of up to `longest` tokens cannot fit into what is free of this
    process' GPU: before anything is loaded, and not an hour later."""
    shape = loading.shape_of(base.folder)
    trained = loading.adapter_parameters(settings.lora, base.folder) if settings.lora else shape.parameters
    free, memory = torch.cuda.mem_get_info()
    parts = gpu_memory.training(settings, shape, trained, base.dtype, longest, memory)
    if vllm.running():  # and its memory is not free
        parts.pop("vLLM", None)
    gpu_memory.refuse(parts, free, torch.cuda.get_device_name(), settings)


def sampler(settings: Train, base: Base, chat: Chat, longest: int, work: Path) -> PolicyEngine | None:
    """vLLM, to sample the rollouts of a policy that is trained in `work`; None where its own weights do.

    `longest` is the longest conversation, in tokens. Raises InputError where vLLM is not installed.
    """
    if settings.engine != "vllm":
        return None
    vllm.require()
    options = settings.vllm.model_dump() | {"tensor_parallel_size": 1, "max_model_len": longest}
    rows = settings.rollouts_per_step
    plain = settings.sampling.model_dump() == {"temperature": 1.0, "top_p": 1.0, "top_k": 0}
    logprobs = "raw_logprobs" if plain else "processed_logprobs"  # which are the same where it is plain

    def start(adapter: Path) -> vllm.VllmEngine:
        how = base.folder, base.dtype, chat.tokenizer, rows, [adapter], chat.eos
        return vllm.start(options, *how, logprobs=logprobs)

    return PolicyEngine(start, folder_in_memory(config_hash({"work": str(work.resolve())})))


def prompt_order(n_prompts: int, n_drawn: int, seed: int) -> list[int]:
    """Which of the n_prompts each of the n_drawn groups of a run is about: permutations, one after the other.

    Laid out beforehand, so that a run's place in it is its step. TRL shuffles each epoch with a generator whose state
    no checkpoint holds: a run resumed in the second epoch would meet the first one's order again.
    """
    generator, order = torch.Generator().manual_seed(seed), []
    while len(order) < n_drawn:
        order += torch.randperm(n_prompts, generator=generator).tolist()
    return order[:n_drawn]


def is_finished(settings: Train, work: Path) -> bool:
    """Whether the run's last line is written, which comes after its last checkpoint."""
    metrics = work / "metrics.jsonl"
    paths = (*checkpoint_folders(settings, work).values(), *rollout_files(settings, work).values())
    kept = all(path.exists() for path in paths)
    return kept and metrics.exists() and metrics.read_text().count("\n") == settings.steps


def run(
    settings: Train,
    seed: int,
    task: Task,
    judge: Judge,
    base: Base,
    work: Path,
    say: Callable[[str], None] = print,
) -> None:
    """Train in `work` until it holds every checkpoint and the rollouts of every step. Does nothing when the run is
    finished."""
    state = join(settings)
    if is_finished(settings, work):
        return
    given = stored_answers(settings, task)
    specs = [spec for spec, _ in given] or task.specs("train")
    chat, longest = check(settings, task, specs, base)
    arguments = trainer_arguments(settings, seed, work / "resume", base.dtype)
    tracking.report(arguments, f"{task.name}-{base.key}-seed{seed}-{work.name}", work)
    policy_engine = sampler(settings, base, chat, longest, work)
    work.mkdir(parents=True, exist_ok=True)
    adapter = warm_start.run(settings, seed, task, chat, base, work, policy_engine) if settings.warm_start else None
    prompts = [str(number) for number in range(len(given))] or [json.dumps(spec) for spec in specs]
    order = prompt_order(len(prompts), settings.steps * settings.prompts_per_step, seed)
    metrics = MetricsLog(work / "metrics.jsonl", task.rates)
    named = {"task": task.name, "model": base.key, "training_seed": seed, "config_hash": work.name}
    rollouts = RolloutKeeper(work, rollout_files(settings, work), named | settings.sampling.model_dump())
    own = [metrics, rollouts, *(watch(above_the_bar) for watch in WATCHES)]
    trainer = DualSpanGRPOTrainer(
        model=begun(settings, base, adapter),
        args=arguments,
        task=task,
        judge=judge,
        settings=settings,
        chat=chat,
        dataset=Dataset.from_dict({"prompt": [prompts[at] for at in order]}),
        peft_config=loading.lora_config(settings.lora) if settings.lora and not adapter else None,
        callbacks=own if state.is_main_process else [],
        sampler=policy_engine,
        keep=rollouts.write,
        stored=given,
    )
    trainer.remove_callback(PrinterCallback)
    save = saver(trainer, settings, base)
    trainer.add_callback(Keeper(work, checkpoint_folders(settings, work), save, state.is_main_process))
    resume = [checkpoints.newest(work / "resume", say) if state.is_main_process else None]
    try:
        if policy_engine:
            policy_engine.sync(trainer.accelerator.unwrap_model(trainer.model), 0)
        trainer.timeline.take()  # its clock starts with the training
        trainer.train(resume_from_checkpoint=broadcast_object_list(resume)[0])
    finally:
        metrics.close()
        if policy_engine:
            policy_engine.close()


def begun(settings: Train, base: Base, adapter: Path | None) -> PreTrainedModel | PeftModel:
    """The policy at step 0, with the adapter of a warm start where there is one. Every weight is trained in float32,
    see saver; accelerate makes it so when it shards."""
    model = loading.load_model(base.folder, base.dtype if settings.lora or settings.sharded else "float32")
    return PeftModel.from_pretrained(model, adapter, is_trainable=True) if adapter else model


def stored_answers(settings: Train, task: Task) -> list[tuple[Spec, Completion]]:
    """The answers that are confessed instead of the policy's own, each with its spec; none where it answers itself.
    Raises InputError where one of them is longer than turn 1 may be."""
    if not settings.answers:
        return []
    table = stored(settings.answers, task, "train")
    answers = completions(table)
    if (longest := max(len(answer.ids) for answer in answers)) > settings.max_task_tokens:
        raise InputError(
            f"{settings.answers}: holds an answer of {longest} tokens: raise train.max_task_tokens, now "
            f"{settings.max_task_tokens}"
        )
    return [*zip(table["spec"], answers, strict=True)]


def check(settings: Train, task: Task, specs: Sequence[Spec], base: Base) -> tuple[Chat, int]:
    """The model's chat and the longest possible conversation, in tokens. Raises InputError for what cannot work, before
    the weights are read."""
    chat = loading.load_chat(base.folder, base.thinking)
    if settings.lora:
        loading.check_targets(settings.lora, loading.load_config(base.folder), "train.lora")
    if settings.shared_prefix:
        shared_prefix.check(loading.load_config(base.folder))
    new_tokens = settings.max_task_tokens + settings.max_confession_tokens
    context = engines.context({}, base.folder)
    longest = check_lengths(chat, task, specs, new_tokens, context, variants=[settings.variant])
    if torch.cuda.is_available():
        check_memory(settings, base, longest)
    return chat, longest


def saver(trainer: DualSpanGRPOTrainer, settings: Train, base: Base) -> Callable[[torch.nn.Module, Path | None], None]:
    """What Keeper writes a policy with: an adapter, or all weights: trained in float32, where a small step is not lost,
    and kept in their dtype."""

    def save(policy: torch.nn.Module, folder: Path | None) -> None:
        weights = {} if settings.lora else trainer.accelerator.get_state_dict(policy)
        if folder and settings.lora:
            loading.save_adapter(policy, folder, base.fingerprint)
        elif folder:
            loading.save_model(policy, weights, folder, base.dtype, base.folder)

    return save


def publish(settings: Train, spec: Mapping[str, Any], work: Path, out: Path, say: Callable[[str], None]) -> None:
    """Copy the finished run's checkpoints, rollouts, metrics and resolved configuration to `out`, each file (of the
    rollouts: the folder) at once.

    Whole models are linked, not copied, where `out` is on the same file system, and what a killed run of such a size
    would go on from is removed: nothing will.
    """
    folders = checkpoint_folders(settings, out)
    for step, folder in checkpoint_folders(settings, work).items():
        if settings.lora:
            for file in sorted(folder.iterdir()):
                with published(folders[step] / file.name) as temporary:
                    shutil.copyfile(file, temporary)
        else:
            with published_folder(folders[step]) as temporary:
                shutil.copytree(folder, temporary, copy_function=_link)
    with published_folder(out / FOLDER) as temporary:
        temporary.mkdir()
        for file in rollout_files(settings, work).values():
            shutil.copyfile(file, temporary / file.name)
    with published(out / "metrics.jsonl") as temporary:
        shutil.copyfile(work / "metrics.jsonl", temporary)
    with published(out / "config.json") as temporary:
        temporary.write_text(json.dumps(dict(spec), indent=2) + "\n")
    if not settings.lora:
        shutil.rmtree(work / "resume", ignore_errors=True)
    say(f"{len(folders)} {'adapters' if settings.lora else 'models'} in {next(iter(folders.values())).parent}")


def _link(file: str, name: str) -> None:
    """A second name for `file`, as new as a copy would be; a copy on another file system."""
    try:
        os.link(file, name)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.copyfile(file, name)
    os.utime(name)
