"""A training step at a shape: DualSpanGRPOTrainer, eager and compiled, and TRL's own trainer, on given rollouts."""

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import torch
from datasets import Dataset
from gpu_device import CUDA, N_PROCESSES, Table, clear, device_seconds, peak_gib, random_model, synchronize
from gpu_shapes import Shape, even_lengths, made_rollouts, spread_lengths
from peft import LoraConfig
from torch.profiler import ProfilerActivity, profile
from transformers import PreTrainedTokenizerBase, PrinterCallback, TrainerCallback
from transformers.trainer_utils import SaveStrategy
from trl import GRPOTrainer

from confessions.config import Train
from confessions.models.chat import Chat
from confessions.rollouts.two_turns import Rollout
from confessions.scoring.judge import LabelTrusting
from confessions.tasks import get as get_task
from confessions.training import trainer as trainer_module
from confessions.training.run import trainer_arguments
from confessions.training.trainer import DualSpanGRPOTrainer

OURS, COMPILED, TRL = "dual-span", "dual-span compiled", "TRL"
STEP, GENERATIONS = 64, 8  # rollouts a step, of which 8 to a prompt
KINDS = {  # what takes a step's time on the GPU, by parts of the kernels' names; the first that fits
    "attention": ("flash", "fmha", "sdpa", "attention"),
    "products": ("gemm", "nvjet", "cutlass", "xmma", "aten::mm", "aten::addmm", "aten::bmm"),
    "output head": ("_forward_kernel", "_backward_kernel"),
    "fused by the compiler": ("triton_",),
    "elementwise and copies": ("elementwise", "copy", "cat", "memcpy", "memset", "fill", "index"),
    "reductions": ("reduce", "norm", "softmax"),
}


class Clock(TrainerCallback):
    """Seconds of every step, and the highest memory of the last."""

    def __init__(self):
        self.seconds: list[float] = []

    def on_step_begin(self, args, state, control, **_):
        synchronize()
        if CUDA:
            torch.cuda.reset_peak_memory_stats()
        self.began = time.perf_counter()

    def on_log(self, args, state, control, logs, **_):
        if "loss" in logs:  # not the summary at the end
            synchronize()
            self.seconds.append(time.perf_counter() - self.began)


class Training:
    """The sections about training; `rate` is the device's measured one, in operations a second."""

    def __init__(
        self, options: argparse.Namespace, table: Table, train: Train, tokenizer: PreTrainedTokenizerBase, work: Path
    ):
        self.options, self.table, self.train, self.tokenizer, self.work = options, table, train, tokenizer, work
        self.task = get_task("word_count")

    def fitting(
        self,
        who: str,
        shape: Shape,
        kind: str,
        checkpointing: bool,
        rate: float,
        n: int,
        against: float | None = None,
    ) -> float:
        """A row for the largest micro-batch that fits, from the one asked for downwards; returns a step's seconds."""
        asked = self.options.checkpointed_micro_batch if checkpointing else self.options.micro_batch
        micro_batch = min(asked, n // N_PROCESSES)
        while True:
            try:
                return self._row(who, shape, kind, checkpointing, rate, n, micro_batch, against)
            except torch.OutOfMemoryError:
                self.table.add(f"{shape.name} {who}, {kind}", note=f"micro-batch {micro_batch} does not fit")
                if micro_batch == 1:
                    raise
                micro_batch //= 2
            finally:
                clear()

    def _row(
        self,
        who: str,
        shape: Shape,
        kind: str,
        checkpointing: bool,
        rate: float,
        n: int,
        micro_batch: int,
        against: float | None,
    ) -> float:
        rollouts, clock, scale = self._rollouts(kind, n), Clock(), STEP / n
        with self._given(who, shape, rollouts, micro_batch, checkpointing) as trainer:
            trainer.add_callback(clock)
            trainer.train()
        seconds = clock.seconds[-1] * scale
        rank = self.train.lora.rank
        sizes = [(len(r.x_ids) + len(r.completion_ids), len(r.completion_ids)) for r in rollouts]
        sampled = scale * sum(len(r.task.ids) + len(r.confession.ids) for r in rollouts)
        needed = scale * sum(shape.training_flop(*size, rank) for size in sizes)
        again = scale * sum(shape.recomputed_flop(*size, rank, checkpointing) for size in sizes)
        ceiling = rate * N_PROCESSES * seconds
        notes = [f"micro-batch {micro_batch}", f"HFU {(needed + again) / ceiling:.1%}"]
        notes += [f"{OURS} / this {against / seconds:.3f}"] if against else []
        notes += [f"steps {' '.join(f'{s:.2f}' for s in clock.seconds)} of {n} rollouts"]
        self.table.add(
            f"{shape.name} {who}, {kind}, {'checkpointing' if checkpointing else 'no checkpointing'}",
            seconds,
            sampled / seconds,
            peak_gib(),
            needed / ceiling,
            "; ".join(notes),
            flop=needed,
            flop_again=again,
            micro_batch=micro_batch,
            n_processes=N_PROCESSES,
        )
        return seconds

    def _rollouts(self, kind: str, n: int) -> list[Rollout]:
        specs = [spec for spec in self.task.specs("train")[: n // GENERATIONS] for _ in range(GENERATIONS)]
        mean = 24 if self.options.tiny else 1_500
        lengths = even_lengths(n, mean)
        if kind == "spread":  # every so many of a whole step's, the longest among them: the batch is as wide as it
            lengths = sorted(spread_lengths(STEP, mean), key=sum, reverse=True)[:: STEP // n]
        return made_rollouts(specs, lengths, 256, self.tokenizer.eos_token_id)

    @contextmanager
    def _given(
        self, who: str, shape: Shape, rollouts: list[Rollout], micro_batch: int, checkpointing: bool
    ) -> Iterator[GRPOTrainer]:
        """A trainer of two steps that is handed `rollouts` (each process its part) instead of sampling them."""
        changes = {
            "steps": 2,
            "warmup_steps": 1,
            "prompts_per_step": len(rollouts) // GENERATIONS,
            "generations": GENERATIONS,
            "micro_batch": micro_batch,
            "processes": N_PROCESSES,
            "gradient_checkpointing": checkpointing,
            "compile_layers": who == COMPILED,
            "checkpoint_fractions": [0.0, 1.0],
            "max_task_tokens": max(len(r.task.ids) for r in rollouts),
            "max_confession_tokens": max(len(r.confession.ids) for r in rollouts),
        }
        settings = Train.model_validate(self.train.model_dump() | changes)

        def part(n: int, process: int) -> list[int]:
            return list(range(n * process, n * (process + 1)))

        trainer = (self._theirs if who == TRL else self._ours)(shape, settings, rollouts, part)
        trainer.remove_callback(PrinterCallback)

        def two_turns(engine, chat, task, specs, *_, **__) -> list[Rollout]:
            return [rollouts[row] for row in part(len(specs), trainer.accelerator.process_index)]

        with mock.patch.object(trainer_module, "two_turns", two_turns):
            yield trainer

    def _common(self, shape: Shape, settings: Train) -> dict:
        arguments = trainer_arguments(settings, 0, self.work, "bfloat16" if CUDA else "float32")
        arguments.save_strategy = SaveStrategy.NO
        lora = settings.lora
        peft = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=lora.target_modules, task_type="CAUSAL_LM")
        return {"model": random_model(shape), "args": arguments, "peft_config": peft}

    def _ours(self, shape: Shape, settings: Train, rollouts: list[Rollout], part) -> DualSpanGRPOTrainer:
        return DualSpanGRPOTrainer(
            **self._common(shape, settings),
            task=self.task,
            judge=LabelTrusting(self.task),
            settings=settings,
            chat=Chat(self.tokenizer, thinking=True),
            dataset=Dataset.from_dict({"prompt": [json.dumps(spec) for spec in self.task.specs("train")]}),
        )

    def _theirs(self, shape: Shape, settings: Train, rollouts: list[Rollout], part) -> GRPOTrainer:
        verdicts = LabelTrusting(self.task).passes([r.spec for r in rollouts], [r.answer.body for r in rollouts])

        def hand_out(prompts: list, trainer: GRPOTrainer) -> dict[str, list]:
            rows = part(len(prompts), trainer.accelerator.process_index)
            return {
                "prompt_ids": [rollouts[row].x_ids for row in rows],
                "completion_ids": [rollouts[row].completion_ids for row in rows],
                "logprobs": [rollouts[row].logprobs for row in rows],
                "row": rows,
            }

        return GRPOTrainer(
            **self._common(shape, settings),
            reward_funcs=lambda row, **_: [float(verdicts[r]) for r in row],
            train_dataset=Dataset.from_dict({"prompt": [self.task.prompt(s) for s in self.task.specs("train")]}),
            processing_class=self.tokenizer,
            rollout_func=hand_out,
        )

    def profile(self, who: str, shape: Shape) -> None:
        """Where the GPU's time of two steps goes, by kind of kernel and for the longest ones."""
        with self._given(who, shape, self._rollouts("even", GENERATIONS), 1, False) as trainer:
            clock = Clock()
            trainer.add_callback(clock)
            with profile(activities=[ProfilerActivity.CUDA if CUDA else ProfilerActivity.CPU]) as profiler:
                trainer.train()
        spent = dict.fromkeys([*KINDS, "other"], 0.0)
        events = sorted(profiler.key_averages(), key=device_seconds, reverse=True)
        for event in events:
            fits = (kind for kind, parts in KINDS.items() if any(p in event.key.lower() for p in parts))
            spent[next(fits, "other")] += device_seconds(event)
        busy = sum(spent.values())
        for kind, seconds in spent.items():
            self.table.add(f"{shape.name} {who}, GPU time: {kind}", seconds, of_ceiling=seconds / busy)
        self.table.add(f"{shape.name} {who}, GPU time: all", busy, note=f"{sum(clock.seconds):.2f} s on the clock")
        for event in events[:20]:
            self.table.add(f"  {event.key[:58]}", device_seconds(event), note=f"{event.count} calls")
