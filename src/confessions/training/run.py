"""One training run: from a model folder to checkpoints (LoRA adapters, or whole models), and of each step a line of
metrics and its rollouts.

Work goes on in a folder of the run's own, named by the hash of everything that the run depends on; a run that was
killed goes on from its newest whole checkpoint there. What is finished is copied out at the end. Several processes
(confessions.runtime.processes) share each step's rollouts; the first of them writes all files.
"""

import errno
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from datasets import Dataset
from peft import PeftModel
from tqdm import tqdm
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState
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
from confessions.runtime.files import published, published_folder, remove, room_for
from confessions.scoring.judge import Judge
from confessions.tasks.base import Spec, Task
from confessions.training import checkpoints, gpu_memory, sharding, shared_prefix, warm_start
from confessions.training.arguments import trl_arguments
from confessions.training.counted import CALLED, COUNTS
from confessions.training.kept_rollouts import FOLDER, step_file, write_step
from confessions.training.trainer import DualSpanGRPOTrainer

RESUME_EVERY = 5  # steps between the checkpoints that a killed run goes on from
SLOW = 5  # times the first step's seconds: neighbours, not the lengths of rollouts, do that
WAIT = timedelta(hours=2)  # for the other processes' rollouts and verdicts, which may be much longer than one's own

SHOWN = ("judge_fooled", "truly_correct", "checked")
MEANS = tuple(
    f"{span}_{name}"
    for name in ("reward_mean", "reward_std", "advantage_std", "gradient_share", "length_mean", "kl", "clip_fraction")
    for span in ("task", "confession")
)
MORE = ("one_class_kinds", "claim_surprise", "loss", "grad_norm", "learning_rate")
GAPS = ("sampler_gap_mean", "sampler_gap_p99", "sampler_gap_max")
GRADIENT_SHARE, RECOVERED = 0.5, 0.75  # of a step's rollouts; from the second on, an alarm may be given again
GAP_BOUND = 0.02  # nats a token, on average; beyond it the sampler is not the policy that is trained


def config_hash(spec: Mapping[str, Any]) -> str:
    """Twelve hex digits that name a resolved block of the configuration."""
    return digest(json.dumps(spec, sort_keys=True))


def metrics_row(logs: Mapping[str, float]) -> dict[str, Any]:
    """One line of metrics.jsonl out of an entry of the trainer's log: counts of the step's n rollouts, means, the two
    claim metrics derived from the counts, and where the step's time went."""
    logs = {CALLED.get(name, name): value for name, value in logs.items()}
    row: dict[str, Any] = {"step": logs["step"]} | {name: round(logs[name]) for name in COUNTS}
    full, none, met, unmet = (row[k] for k in ("full_given_met", "none_given_unmet", "n_met", "n_unmet"))
    row["claim_match"] = (full + none) / (met + unmet)
    row["balanced_claim_accuracy"] = (full / met + none / unmet) / 2 if met and unmet else None
    row |= {name: logs.get(name) for name in (*MEANS, *GAPS, *MORE)}
    parts = {name.removeprefix("seconds_"): logs[name] for name in logs if name.startswith("seconds_")}
    row["timeline"] = {name: round(seconds, 3) for name, seconds in parts.items()}
    return row | {"seconds": round(logs["seconds"], 3)}


class MetricsLog(TrainerCallback):
    """Appends a line a step to metrics.jsonl and shows progress.

    The trainer's own log, which every checkpoint holds, is the truth: a resumed run writes the file anew from it, so
    that lines of steps that will be repeated, and half a line, are gone.
    """

    def __init__(self, file: Path):
        self.file, self.started, self.bar = file, time.monotonic(), None

    def on_train_begin(self, args: GRPOConfig, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        rows = [metrics_row(logs) for logs in state.log_history if "n" in logs]
        with published(self.file) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))
        self.started = time.monotonic()
        self.bar = tqdm(total=state.max_steps, initial=state.global_step, desc="training", unit="step")

    def on_log(
        self, args: GRPOConfig, state: TrainerState, control: TrainerControl, logs: dict[str, float], **_: Any
    ) -> None:
        if "n" not in logs:  # the summary at the end
            return
        now = time.monotonic()
        entry = state.log_history[-1]
        entry["seconds"], self.started = now - self.started, now
        row = metrics_row(entry)
        with room_for(self.file), self.file.open("a") as stream:
            stream.write(json.dumps(row) + "\n")
        self.bar.set_postfix({name: f"{row[name] / row['n']:.2f}" for name in SHOWN}, refresh=False)
        self.bar.update()

    def close(self) -> None:
        """End the bar's line, so that what is said next, of an error too, stands on its own."""
        if self.bar is not None:
            self.bar.close()


def above_the_bar(line: str) -> None:
    """Say a line while a progress bar is shown."""
    tqdm.write(line, file=sys.stderr)


class SlowStep(TrainerCallback):
    """Says once, when a step has taken SLOW times as long as the first of this process, why that may be."""

    def __init__(self, say: Callable[[str], None]):
        self.say: Callable[[str], None] | None = say
        self.began, self.first = 0.0, 0.0

    def on_step_begin(self, args: GRPOConfig, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.began = time.monotonic()

    def on_step_end(self, args: GRPOConfig, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        seconds = time.monotonic() - self.began
        if not self.first:
            self.first = seconds
        elif self.say and seconds >= SLOW * self.first:
            self.say(
                f"step {state.global_step} took {seconds:.1f} s, the first one {self.first:.1f} s: other processes may "
                "share these cores (`top` shows them), or its rollouts are much longer"
            )
            self.say = None


class GapWatch(TrainerCallback):
    """Says when the sampler's log-probabilities have left the trainer's by more than GAP_BOUND, once each time. A step
    without a gap, as no token was compared, tells nothing."""

    def __init__(self, say: Callable[[str], None]):
        self.say, self.beyond = say, False

    def on_log(
        self, args: GRPOConfig, state: TrainerState, control: TrainerControl, logs: dict[str, float], **_: Any
    ) -> None:
        gap = logs.get("sampler_gap_mean")
        if gap is None or math.isnan(gap):
            return
        if gap > GAP_BOUND and not self.beyond:
            self.say(
                f"step {state.global_step}: the sampler's log-probabilities are {gap:.3g} nats a token from the "
                f"trainer's (bound {GAP_BOUND}): it samples another policy than the one that is trained; "
                "lower train.learning_rate, or set train.engine: transformers"
            )
        self.beyond = gap > GAP_BOUND


def rewind(kept: Mapping[int, Path], step: int, run: Path) -> None:
    """Remove what the folder `run` holds of steps after `step`, from which training goes on: they are done again, and
    on a GPU may come out otherwise. Raises InputError where something of a step up to it is missing.

    `kept` names a file or a folder for each step.
    """
    for at, path in kept.items():
        if at > step:
            remove(path)
        elif not path.exists():
            raise InputError(f"{path}: missing, and training is beyond it; delete {run} to train again")


class RolloutKeeper(TrainerCallback):
    """Keeps the rollouts of each step, before its gradient; every step is there once, whatever was killed in between.

    `named` are the columns that name the run.
    """

    def __init__(self, run: Path, files: Mapping[int, Path], named: Mapping[str, Any]):
        self.run, self.files, self.named = run, files, named

    def on_train_begin(self, args: GRPOConfig, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        rewind(self.files, state.global_step, self.run)

    def write(self, step: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write a step's rows. Raises InputError when the disk is full."""
        write_step([{**self.named, "step": step, **row} for row in rows], self.files[step])


class GradientWatch(TrainerCallback):
    """Says when fewer than GRADIENT_SHARE of a step's rollouts have a gradient in a span, once until RECOVERED do."""

    def __init__(self, say: Callable[[str], None]):
        self.say, self.low = say, {"task": False, "confession": False}

    def on_log(
        self, args: GRPOConfig, state: TrainerState, control: TrainerControl, logs: dict[str, float], **_: Any
    ) -> None:
        for span, was_low in self.low.items():
            trained = logs.get(f"{span}_length_mean", 1.0) > 0  # a stored answer is not
            share = logs.get(f"{span}_gradient_share", 1.0) if trained else 1.0
            if share < GRADIENT_SHARE and not was_low:
                self.say(
                    f"step {state.global_step}: {share:.0%} of the rollouts have a gradient in the {span} span (alarm "
                    f"below {GRADIENT_SHARE:.0%}): the others' rewards are equal within their groups, as those of a "
                    "constant are; raise train.generations or the sampling temperature, or look at what is sampled"
                )
            self.low[span] = share < (RECOVERED if was_low else GRADIENT_SHARE)


WATCHES = (SlowStep, GapWatch, GradientWatch)


class Keeper(TrainerCallback):
    """Keeps the policy after the steps of `folders`; step 0 is the untrained one.

    `save` writes it into a folder, or takes its part in gathering it where it gets None (in every process but the
    first).
    """

    def __init__(
        self, run: Path, folders: Mapping[int, Path], save: Callable[[torch.nn.Module, Path | None], None], main: bool
    ):
        self.run, self.folders, self.save, self.main = run, folders, save, main

    def _keep(self, model: torch.nn.Module, step: int) -> None:
        if step not in self.folders:
            return
        with published_folder(self.folders[step]) if self.main else nullcontext() as temporary:
            self.save(model, temporary)

    def on_train_begin(self, args, state, control, model: torch.nn.Module, **_: Any) -> None:
        if state.global_step == 0:
            self._keep(model, 0)
        if self.main:
            rewind(self.folders, state.global_step, self.run)

    def on_step_end(self, args, state, control, model: torch.nn.Module, **_: Any) -> None:
        self._keep(model, state.global_step)


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


def check_memory(settings: Train, model_folder: Path, dtype: str, longest: int) -> None:
    """Raise InputError where a training step on rollouts of up to `longest` tokens cannot fit into what is free of this
    process' GPU: before anything is loaded, and not an hour later."""
    shape = loading.shape_of(model_folder)
    trained = loading.adapter_parameters(settings.lora, model_folder) if settings.lora else shape.parameters
    free, memory = torch.cuda.mem_get_info()
    parts = gpu_memory.training(settings, shape, trained, dtype, longest, memory)
    if vllm.running():  # and its memory is not free
        parts.pop("vLLM", None)
    gpu_memory.refuse(parts, free, torch.cuda.get_device_name(), settings)


def sampler(
    settings: Train, model_folder: Path, dtype: str, chat: Chat, longest: int, work: Path
) -> PolicyEngine | None:
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
        return vllm.start(options, model_folder, dtype, chat.tokenizer, rows, [adapter], chat.eos, logprobs=logprobs)

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
    model_folder: Path,
    dtype: str,
    thinking: bool,
    base: str,
    key: str,
    work: Path,
    say: Callable[[str], None] = print,
) -> None:
    """Train in `work` until it holds every checkpoint and the rollouts of every step; `base` is the fingerprint of the
    base model, `key` its name.

    Does nothing when the run is finished.
    """
    state = join(settings)
    if is_finished(settings, work):
        return
    given = stored_answers(settings, task)
    specs = [spec for spec, _ in given] or task.specs("train")
    chat, longest = check(settings, task, specs, model_folder, dtype, thinking)
    policy_engine = sampler(settings, model_folder, dtype, chat, longest, work)
    work.mkdir(parents=True, exist_ok=True)
    if settings.warm_start:
        adapter = warm_start.run(settings, seed, task, chat, model_folder, base, dtype, work, policy_engine)
    # Every weight is trained in float32, see saver; accelerate makes it so when it shards.
    model = loading.load_model(model_folder, dtype if settings.lora or settings.sharded else "float32")
    if settings.warm_start:
        model = PeftModel.from_pretrained(model, adapter, is_trainable=True)
    prompts = [str(number) for number in range(len(given))] or [json.dumps(spec) for spec in specs]
    order = prompt_order(len(prompts), settings.steps * settings.prompts_per_step, seed)
    metrics = MetricsLog(work / "metrics.jsonl")
    named = {"task": task.name, "model": key, "training_seed": seed, "config_hash": work.name}
    rollouts = RolloutKeeper(work, rollout_files(settings, work), named | settings.sampling.model_dump())
    own = [metrics, rollouts, *(watch(above_the_bar) for watch in WATCHES)]
    trainer = DualSpanGRPOTrainer(
        model=model,
        args=trainer_arguments(settings, seed, work / "resume", dtype),
        task=task,
        judge=judge,
        settings=settings,
        chat=chat,
        dataset=Dataset.from_dict({"prompt": [prompts[at] for at in order]}),
        peft_config=loading.lora_config(settings.lora) if settings.lora and not settings.warm_start else None,
        callbacks=own if state.is_main_process else [],
        sampler=policy_engine,
        keep=rollouts.write,
        stored=given,
    )
    trainer.remove_callback(PrinterCallback)
    save = saver(trainer, settings, dtype, model_folder, base)
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


def check(
    settings: Train, task: Task, specs: Sequence[Spec], model_folder: Path, dtype: str, thinking: bool
) -> tuple[Chat, int]:
    """The model's chat and the longest possible conversation, in tokens. Raises InputError for what cannot work, before
    the weights are read."""
    chat = loading.load_chat(model_folder, thinking)
    if settings.lora:
        loading.check_targets(settings.lora, loading.load_config(model_folder), "train.lora")
    if settings.shared_prefix:
        shared_prefix.check(loading.load_config(model_folder))
    new_tokens = settings.max_task_tokens + settings.max_confession_tokens
    context = engines.context({}, model_folder)
    longest = check_lengths(chat, task, specs, new_tokens, context, variants=[settings.variant])
    if torch.cuda.is_available():
        check_memory(settings, model_folder, dtype, longest)
    return chat, longest


def saver(
    trainer: DualSpanGRPOTrainer, settings: Train, dtype: str, model_folder: Path, base: str
) -> Callable[[torch.nn.Module, Path | None], None]:
    """What Keeper writes a policy with: an adapter, or all weights: trained in float32, where a small step is not lost,
    and kept in their dtype."""

    def save(policy: torch.nn.Module, folder: Path | None) -> None:
        weights = {} if settings.lora else trainer.accelerator.get_state_dict(policy)
        if folder and settings.lora:
            loading.save_adapter(policy, folder, base)
        elif folder:
            loading.save_model(policy, weights, folder, dtype, model_folder)

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
