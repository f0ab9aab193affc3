"""Speed and memory at Qwen3's shapes on one GPU, against the rates that the same GPU was measured to have.

    python benchmarks/gpu.py [--sections ceilings training rollouts …] [--models Qwen3-8B Qwen3-4B] [--out DIR]
    torchrun --nproc-per-node 2 benchmarks/gpu.py --sections ceilings training      # how a step scales
    python benchmarks/gpu.py --tiny                                                 # a dry run, also without a GPU

Weights are random, at the published shapes; prompts and rollouts are random ids of realistic lengths (the embedded
model's tokenizer serves, so only its few hundred ids occur). Nothing is downloaded. Every row is printed as soon as it
is measured and appended to DIR/rows.jsonl; a section that fails is reported, the others go on and the status is 1.

- ceilings: a large bfloat16 product of random matrices, a large copy.
- training: a step of DualSpanGRPOTrainer (LoRA on every linear map, bfloat16 autocast, AdamW) and of TRL's own
  single-span trainer on the same given rollouts of 1,500 + 1,500 sampled tokens. --rollouts a step are measured and
  scaled to 64; the second of two steps counts. `even`: all of one length; `spread`: as sampled, so the batch is padded.
- whole: one step of all 64 rollouts, to check that scaling.
- profile: where a step's GPU time goes. cast: the same step where PEFT casts no inputs.
  compiled: that, with every layer through torch.compile.
- rollouts: TransformersEngine, two turns of 64 and of 256 rows, prompts that stand for a rollout's middle. Seconds a
  decoding step are the difference between a long and a short call. Then turn 2: what of the prefix it computes again.
- agreement, demo: see gpu_agreement.py.
"""

import argparse
import gc
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import gpu_agreement
import torch
from datasets import Dataset
from gpu_shapes import (
    QWEN3_4B,
    QWEN3_8B,
    REQUEST,
    TINY,
    Shape,
    even_lengths,
    made_rollouts,
    spread_lengths,
)
from peft import LoraConfig
from peft.helpers import disable_input_dtype_casting
from torch.profiler import ProfilerActivity, profile
from transformers import AutoModelForCausalLM, PreTrainedModel, PrinterCallback, TrainerCallback
from transformers.trainer_utils import SaveStrategy
from trl import GRPOTrainer

from confessions import config
from confessions import trainer as trainer_module
from confessions.chat import Chat
from confessions.config import Train
from confessions.engines import Sampling
from confessions.engines.transformers import TransformersEngine
from confessions.judge import LabelTrusting
from confessions.nano.recipe import corpus_texts
from confessions.nano.tokenizer import build_tokenizer
from confessions.rollout import Rollout
from confessions.tasks import get as get_task
from confessions.train import trainer_arguments
from confessions.trainer import DualSpanGRPOTrainer

CUDA = torch.cuda.is_available()
RANK, N_PROCESSES = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
DEVICE = torch.device("cuda", RANK) if CUDA else torch.device("cpu")
DTYPE = torch.bfloat16 if CUDA else torch.float32  # a CPU has no mixed precision here
STEP, GENERATIONS = 64, 8  # rollouts a step, of which 8 to a prompt
KINDS = {  # what takes a step's time on the GPU, by parts of the kernels' names; the first that fits
    "attention": ("flash", "fmha", "sdpa", "attention"),
    "products": ("gemm", "nvjet", "cutlass", "xmma", "aten::mm", "aten::addmm", "aten::bmm"),
    "output head": ("_forward_kernel", "_backward_kernel"),
    "elementwise and copies": ("elementwise", "copy", "cat", "Memcpy", "Memset", "fill", "index"),
    "reductions": ("reduce", "norm", "softmax"),
}
GIB, TERA = 2**30, 1e12


class Table:
    """Prints each row as it comes and keeps it as a line of JSON."""

    def __init__(self, out: Path | None):
        self.file = out / "rows.jsonl" if out and not RANK else None
        self._print("what", "seconds", "tokens/s", "peak GiB", "of ceiling", "note")

    def _print(self, *cells: str) -> None:
        if not RANK:
            what, *numbers, note = cells
            print(f"{what:58}" + "".join(f"{cell:>11}" for cell in numbers) + f"  {note}", flush=True)

    def add(
        self,
        what: str,
        seconds: float | None = None,
        tokens_per_s: float | None = None,
        peak: float | None = None,
        of_ceiling: float | None = None,
        note: str = "",
        **more: object,
    ) -> None:
        shown = (
            (seconds, "{:.4g}"), (tokens_per_s, "{:,.0f}"), (peak, "{:.1f}"), (of_ceiling, "{:.1%}"),
        )  # fmt: skip
        self._print(what, *("" if value is None else form.format(value) for value, form in shown), note)
        row = {"what": what, "seconds": seconds, "tokens_per_s": tokens_per_s, "peak_gib": peak}
        if self.file:
            with self.file.open("a") as stream:
                stream.write(json.dumps(row | {"of_ceiling": of_ceiling, "note": note} | more) + "\n")


def synchronize() -> None:
    if CUDA:
        torch.cuda.synchronize()


def timed(work: Callable[[], object]) -> float:
    synchronize()
    began = time.perf_counter()
    work()
    synchronize()
    return time.perf_counter() - began


def peak_gib() -> float | None:
    return torch.cuda.max_memory_allocated() / GIB if CUDA else None


def clear() -> None:
    gc.collect()
    if CUDA:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def random_model(shape: Shape) -> PreTrainedModel:
    """Made where it stays."""
    torch.manual_seed(0)
    with DEVICE:
        return AutoModelForCausalLM.from_config(shape.config(), dtype=DTYPE).eval()


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


class Benchmark:
    """The sections, and what they have measured of the device so far."""

    def __init__(self, options: argparse.Namespace, table: Table, work: Path):
        self.options, self.table, self.work = options, table, work
        settings = config.load(Path(__file__).parent.parent / "config.yaml")
        self.train, self.task = settings.experiments["reproduction"].train, get_task("word_count")
        self.tokenizer = build_tokenizer(corpus_texts())
        self.shapes = [TINY] if options.tiny else [s for s in (QWEN3_8B, QWEN3_4B) if s.name in options.models]
        self.matmul_rate, self.copy_rate = options.matmul * TERA, options.copy * TERA

    # -- ceilings ------------------------------------------------------------------------------------------------------

    def ceilings(self) -> None:
        n = 256 if self.options.tiny else 8192
        a, b = (torch.randn(n, n, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
        seconds = self._best(lambda: a @ b)
        self.matmul_rate = 2 * n**3 / seconds
        self.table.add(
            f"bfloat16 product {n}³, random",
            seconds,
            note=f"{self.matmul_rate / TERA:.0f} TFLOP/s",
            rate=self.matmul_rate,
        )
        source = torch.randint(256, (2**20 if self.options.tiny else 2**33,), device=DEVICE, dtype=torch.uint8)
        target = torch.empty_like(source)
        seconds = self._best(lambda: target.copy_(source))
        self.copy_rate = 2 * source.numel() / seconds
        self.table.add(
            "copy, bytes read and written", seconds, note=f"{self.copy_rate / TERA:.2f} TB/s", rate=self.copy_rate
        )

    def _best(self, work: Callable[[], object]) -> float:
        """Seconds of one call, the best of ten rounds of ten: a ceiling must not be too low."""
        rounds, calls = (2, 2) if self.options.tiny else (10, 10)
        return min(timed(lambda: [work() for _ in range(calls)]) / calls for _ in range(rounds))

    # -- training ------------------------------------------------------------------------------------------------------

    def training(self) -> None:
        for shape, kind, checkpointing in product(self.shapes, self.options.lengths, (False, True)):
            ours = self._fitting("dual-span", shape, kind, checkpointing, self.options.rollouts)
            if not self.options.ours_only:
                self._fitting("TRL", shape, kind, checkpointing, self.options.rollouts, against=ours)

    def whole(self) -> None:
        self._fitting("dual-span, all 64", self.shapes[0], "even", False, STEP)

    def cast(self) -> None:
        with mock.patch.object(DualSpanGRPOTrainer, "training_step", _without_casts):
            self._fitting("dual-span, no casts", self.shapes[0], self.options.lengths[0], False, self.options.rollouts)

    def compiled(self) -> None:
        with mock.patch.object(DualSpanGRPOTrainer, "training_step", _without_casts):
            self._fitting("dual-span, compiled", self.shapes[0], self.options.lengths[0], False, self.options.rollouts)

    def _fitting(
        self, who: str, shape: Shape, kind: str, checkpointing: bool, n: int, against: float | None = None
    ) -> float:
        """A step with the largest micro-batch that fits, from the one asked for downwards; returns its seconds."""
        asked = self.options.checkpointed_micro_batch if checkpointing else self.options.micro_batch
        micro_batch = min(asked, n // N_PROCESSES)
        while True:
            try:
                return self._training_row(who, shape, kind, checkpointing, n, micro_batch, against)
            except torch.OutOfMemoryError:
                self.table.add(f"{shape.name} {who} {kind}", note=f"micro-batch {micro_batch} does not fit")
                if micro_batch == 1:
                    raise
                micro_batch //= 2
            finally:
                clear()

    def _training_row(
        self, who: str, shape: Shape, kind: str, checkpointing: bool, n: int, micro_batch: int, against: float | None
    ) -> float:
        rollouts, clock = self._rollouts(kind, n), Clock()
        with self._given(who, shape, rollouts, micro_batch, checkpointing) as trainer:
            trainer.add_callback(clock)
            trainer.train()
        seconds = clock.seconds[-1] * STEP / n
        sampled = sum(len(r.task.ids) + len(r.confession.ids) for r in rollouts) * STEP / n
        rank = self.train.lora.rank
        sizes = [(len(r.x_ids) + len(r.completion_ids), len(r.completion_ids)) for r in rollouts]
        needed = sum(shape.training_flop(*size, rank) for size in sizes) * STEP / n
        again = sum(shape.recomputed_flop(*size, rank, checkpointing) for size in sizes) * STEP / n
        rate = self.matmul_rate * N_PROCESSES * seconds
        notes = [f"micro-batch {micro_batch}", f"HFU {(needed + again) / rate:.1%}"]
        notes += [f"dual-span / TRL {against / seconds:.3f}"] if against else []
        notes += [f"steps {' '.join(f'{s:.2f}' for s in clock.seconds)} of {n} rollouts"]
        keeps = "checkpointing" if checkpointing else "no checkpointing"
        self.table.add(
            f"{shape.name} {who}, {kind}, {keeps}",
            seconds,
            sampled / seconds,
            peak_gib(),
            needed / rate,
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
            "gradient_checkpointing": checkpointing,
            "checkpoint_fractions": [0.0, 1.0],
            "max_task_tokens": max(len(r.task.ids) for r in rollouts),
            "max_confession_tokens": max(len(r.confession.ids) for r in rollouts),
        }
        settings = Train.model_validate(self.train.model_dump() | changes)
        arguments = trainer_arguments(settings, 0, self.work, "bfloat16" if CUDA else "float32")
        arguments.save_strategy = SaveStrategy.NO
        lora = settings.lora
        common = {
            "model": random_model(shape),
            "args": arguments,
            "peft_config": LoraConfig(
                r=lora.rank, lora_alpha=lora.alpha, target_modules=lora.target_modules, task_type="CAUSAL_LM"
            ),
        }

        def part(n: int, process: int) -> list[Rollout]:
            return rollouts[n * process : n * (process + 1)]

        judge = LabelTrusting(self.task)
        if who == "TRL":
            verdicts = judge.passes([r.spec for r in rollouts], [r.answer.body for r in rollouts])

            def hand_out(prompts: list, trainer: GRPOTrainer) -> dict[str, list]:
                mine = part(len(prompts), trainer.accelerator.process_index)
                return {
                    "prompt_ids": [r.x_ids for r in mine],
                    "completion_ids": [r.completion_ids for r in mine],
                    "logprobs": [r.logprobs for r in mine],
                    "row": [row for row, r in enumerate(rollouts) if any(r is m for m in mine)],
                }

            trainer = GRPOTrainer(
                **common,
                reward_funcs=lambda row, **_: [float(verdicts[r]) for r in row],
                train_dataset=Dataset.from_dict({"prompt": [self.task.prompt(s) for s in self.task.specs("train")]}),
                processing_class=self.tokenizer,
                rollout_func=hand_out,
            )
        else:
            trainer = DualSpanGRPOTrainer(
                **common,
                task=self.task,
                judge=judge,
                settings=settings,
                chat=Chat(self.tokenizer, thinking=True),
                dataset=Dataset.from_dict({"prompt": [json.dumps(spec) for spec in self.task.specs("train")]}),
            )
        trainer.remove_callback(PrinterCallback)
        if who.endswith("compiled"):
            for layer in trainer.accelerator.unwrap_model(trainer.model).get_base_model().model.layers:
                layer.compile(dynamic=True)

        def two_turns(engine, chat, task, specs, *_):
            return part(len(specs), trainer.accelerator.process_index)

        with mock.patch.object(trainer_module, "two_turns", two_turns):
            yield trainer

    def profile(self) -> None:
        """Where the GPU time of one micro-batch after another goes, as shares of a step's wall time."""
        n = GENERATIONS
        micro_batch = min(self.options.micro_batch, 1)
        with self._given("dual-span", self.shapes[0], self._rollouts("even", n), micro_batch, False) as trainer:
            clock = Clock()
            trainer.add_callback(clock)
            activities = [ProfilerActivity.CUDA] if CUDA else [ProfilerActivity.CPU]
            with profile(activities=activities) as profiler:
                trainer.train()
        spent = dict.fromkeys([*KINDS, "other"], 0.0)
        events = sorted(profiler.key_averages(), key=_device_seconds, reverse=True)
        for event in events:
            fits = (kind for kind, parts in KINDS.items() if any(p.lower() in event.key.lower() for p in parts))
            spent[next(fits, "other")] += _device_seconds(event)
        busy = sum(spent.values())
        for kind, seconds in spent.items():
            self.table.add(f"{self.shapes[0].name} two steps' GPU time: {kind}", seconds, of_ceiling=seconds / busy)
        wall = sum(clock.seconds)
        self.table.add(f"{self.shapes[0].name} two steps' GPU time: all", busy, note=f"of {wall:.2f} s on the clock")
        for event in events[:25]:
            self.table.add(f"  {event.key[:54]}", _device_seconds(event), note=f"{event.count} calls")

    # -- rollouts ------------------------------------------------------------------------------------------------------

    def rollouts(self) -> None:
        for shape in self.shapes:
            model = random_model(shape)
            for n_rows, contexts in ((64, (1_400,)), (256, (1_400, 600))):
                for context in contexts:  # the first that fits
                    try:
                        self._decode(model, shape, n_rows, context)
                        break
                    except torch.OutOfMemoryError:
                        self.table.add(f"{shape.name} {n_rows} rows at {context} tokens", note="does not fit")
                    finally:
                        clear()

    def _decode(self, model: PreTrainedModel, shape: Shape, n_rows: int, context: int) -> None:
        short, long = (8, 16) if self.options.tiny else (32, 96)
        n_rows, context = (8, 32) if self.options.tiny else (n_rows, context)
        marks = SimpleNamespace(eos_token_id=shape.vocabulary - 1, pad_token_id=shape.vocabulary - 2)
        engine = TransformersEngine(model, marks, batch_size=n_rows)
        rng = torch.Generator().manual_seed(0)
        widths = torch.linspace(0.8 * context, 1.2 * context, n_rows).round().int().tolist()  # no two rows alike

        def ids(n: int) -> list[int]:
            return torch.randint(shape.vocabulary - 2, (n,), generator=rng).tolist()

        prompts, seeds = [ids(n) for n in widths], list(range(n_rows))
        engine.generate(prompts, Sampling(1), seeds)  # warm-up
        seconds = {}
        for n in (short, long):
            engine.forget()
            seconds[n] = timed(lambda n=n: engine.generate(prompts, Sampling(n), seeds))
        step = (seconds[long] - seconds[short]) / (long - short)
        middle = [n + (short + long) // 2 for n in widths]
        floor = shape.decode_bytes(middle) / self.copy_rate
        engine.forget()
        answers = engine.generate(prompts, Sampling(long), seeds)
        first = seconds[short] - short * step
        self.table.add(
            f"{shape.name} decode, {n_rows} rows at {round(sum(middle) / n_rows):,} tokens",
            step,
            n_rows / step,
            peak_gib(),
            floor / step,
            f"floor {1e3 * floor:.1f} ms; prompts {sum(widths) / first:,.0f} tokens/s",
            floor=floor,
            n_rows=n_rows,
        )
        asked = [p + a.ids + ids(REQUEST) for p, a in zip(prompts, answers, strict=True)]
        computed: list[int] = []
        hook = model.register_forward_pre_hook(
            lambda module, args, kwargs: computed.append(kwargs["input_ids"].numel()), with_kwargs=True
        )
        try:
            turn = timed(lambda: engine.generate(asked, Sampling(short), seeds))
        finally:
            hook.remove()
        prefix = sum(map(len, asked)) - REQUEST * n_rows
        again = computed[0] - REQUEST * n_rows
        self.table.add(
            f"{shape.name} turn 2, {n_rows} rows, {short} steps",
            turn,
            n_rows * short / turn,
            peak_gib(),
            note=f"computed again: {again:,} of {prefix:,} prefix tokens, {again / prefix:.2%}",
            again=again,
            prefix=prefix,
        )
        if CUDA:
            with profile(activities=[ProfilerActivity.CUDA]) as profiler:
                engine.generate([[*p[:-1], 3] for p in asked], Sampling(short), seeds)
            busy = sum(map(_device_seconds, profiler.key_averages()))
            top = sorted(profiler.key_averages(), key=_device_seconds, reverse=True)[:6]
            self.table.add(
                f"{shape.name} the same, GPU busy",
                busy,
                note="; ".join(f"{e.key[:40]} {_device_seconds(e):.2f} s/{e.count}" for e in top),
            )

    def agreement(self) -> None:
        for what, note in gpu_agreement.compare(self.work):
            self.table.add(what, note=note)

    def demo(self) -> None:
        for what, seconds in gpu_agreement.demo_chain(self.work):
            self.table.add(what, seconds)


SECTIONS = ("ceilings", "training", "whole", "profile", "cast", "compiled", "rollouts", "agreement", "demo")
_training_step = DualSpanGRPOTrainer.training_step


def _without_casts(self, model, inputs, num_items_in_batch):
    with disable_input_dtype_casting(model):
        return _training_step(self, model, inputs, num_items_in_batch)


def _device_seconds(event) -> float:
    return (event.self_device_time_total if CUDA else event.self_cpu_time_total) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=["ceilings", "training", "rollouts"])
    parser.add_argument("--models", nargs="+", default=["Qwen3-8B", "Qwen3-4B"])
    parser.add_argument("--rollouts", type=int, default=16, help="a measured training step, a multiple of 8")
    parser.add_argument("--lengths", nargs="+", choices=["even", "spread"], default=["even", "spread"])
    parser.add_argument("--ours-only", action="store_true", help="no step of TRL's own trainer")
    parser.add_argument("--micro-batch", type=int, default=2, help="largest to try without checkpointing")
    parser.add_argument("--checkpointed-micro-batch", type=int, default=4, help="largest to try with it")
    parser.add_argument("--matmul", type=float, default=790.0, help="TFLOP/s, where section ceilings does not run")
    parser.add_argument("--copy", type=float, default=4.3, help="TB/s, likewise")
    parser.add_argument("--out", type=Path, help="folder for rows.jsonl")
    parser.add_argument("--tiny", action="store_true", help="a model and lengths that a CPU does in seconds")
    options = parser.parse_args()
    if CUDA:
        torch.cuda.set_device(DEVICE)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
    table, failed = Table(options.out), []
    table.add(
        f"{torch.cuda.get_device_name() if CUDA else 'CPU'}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}",
        note=" ".join(sys.argv[1:]),
    )
    with tempfile.TemporaryDirectory() as work:
        benchmark = Benchmark(options, table, Path(work))
        for section in options.sections:
            began = time.perf_counter()
            try:
                getattr(benchmark, section)()
            except Exception:  # the other sections' numbers must not be lost; the status says it
                traceback.print_exc()
                failed.append(section)
            finally:
                clear()
            table.add(f"({section}: {'failed' if section in failed else 'done'})", time.perf_counter() - began)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
