"""Speed and memory at Qwen3's shapes on one GPU, against the rates that the same GPU was measured to have.

    python benchmarks/gpu.py [--sections ceilings training rollouts …] [--models Qwen3-8B Qwen3-4B] [--out DIR]
    torchrun --nproc-per-node 2 benchmarks/gpu.py --sections ceilings training      # how a step scales
    python benchmarks/gpu.py --tiny                                                 # a dry run, also without a GPU

Weights are random, at the published shapes; prompts and rollouts are random ids of realistic lengths (the embedded
model's tokenizer serves, so only 256 different ids are trained on). Nothing is downloaded. Every row is printed as soon
as it is measured and appended to DIR/rows.jsonl; a section that fails is reported, the others go on, the status is 1.

- ceilings: a large bfloat16 product of random matrices, a large copy.
- training: a step of DualSpanGRPOTrainer (LoRA on every linear map, bfloat16 autocast, AdamW), eager and compiled, and
  of TRL's own single-span trainer on the same given rollouts of 1,500 + 1,500 sampled tokens. --rollouts a step are
  measured and scaled to 64; the second of two steps counts. `even`: all of one length; `spread`: as sampled, so that
  TRL pads the batch. Work counted is that of the real tokens (gpu_shapes.py).
- whole: the same with all 64 rollouts, to check that scaling. profile: where a step's GPU time goes.
- rollouts: TransformersEngine, prompts that stand for a rollout's middle. Seconds a decoding step are the difference
  between a long and a short call. Then turn 2: what of the prefix it computes again.
- agreement, demo: see gpu_agreement.py.
"""

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from itertools import product
from pathlib import Path

import gpu_agreement
import torch
from gpu_device import CUDA, DEVICE, TERA, Table, clear, timed
from gpu_rollouts import Rollouts
from gpu_shapes import QWEN3_4B, QWEN3_8B, TINY
from gpu_training import COMPILED, OURS, STEP, TRL, Training

from confessions import config
from confessions.nano.recipe import corpus_texts
from confessions.nano.tokenizer import build_tokenizer

SECTIONS = ("ceilings", "training", "whole", "profile", "rollouts", "agreement", "demo")
SHAPES = {shape.name: shape for shape in (QWEN3_8B, QWEN3_4B)}


class Benchmark:
    """The sections, and what they have measured of the device so far."""

    def __init__(self, options: argparse.Namespace, table: Table, work: Path):
        self.options, self.table, self.work = options, table, work
        self.shapes = [TINY] if options.tiny else [SHAPES[name] for name in options.models]
        self.matmul_rate, self.copy_rate = options.matmul * TERA, options.copy * TERA
        train = config.load(Path(__file__).parent.parent / "config.yaml").experiments["reproduction"].train
        self._training = Training(options, table, train, build_tokenizer(corpus_texts()), work)

    def ceilings(self) -> None:
        n, size = (256, 2**20) if self.options.tiny else (8192, 2**33)
        a, b = (torch.randn(n, n, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
        seconds = self._best(lambda: a @ b)
        self.matmul_rate = 2 * n**3 / seconds
        note = f"{self.matmul_rate / TERA:.0f} TFLOP/s"
        self.table.add(f"bfloat16 product {n}³ of random numbers", seconds, note=note, rate=self.matmul_rate)
        source = torch.randint(256, (size,), device=DEVICE, dtype=torch.uint8)
        target = torch.empty_like(source)
        seconds = self._best(lambda: target.copy_(source))
        self.copy_rate = 2 * size / seconds
        note = f"{self.copy_rate / TERA:.2f} TB/s"
        self.table.add("copy, bytes read and written", seconds, note=note, rate=self.copy_rate)

    def _best(self, work: Callable[[], object]) -> float:
        """Seconds of one call, the best of ten rounds of ten: a ceiling must not be too low."""
        return min(timed(lambda: [work() for _ in range(10)]) / 10 for _ in range(10))

    def training(self) -> None:
        n = self.options.rollouts
        for shape, kind, checkpointing in product(self.shapes, self.options.lengths, self._checkpointing()):
            ours = None
            for who in self.options.who:
                seconds = self._training.fitting(who, shape, kind, checkpointing, self.matmul_rate, n, ours)
                ours = seconds if who == OURS else ours

    def _checkpointing(self) -> list[bool]:
        return [kind == "on" for kind in self.options.checkpointing]

    def whole(self) -> None:
        first = self.options.who[0], self.shapes[0], self.options.lengths[0], self._checkpointing()[0]
        self._training.fitting(*first, self.matmul_rate, STEP)

    def profile(self) -> None:
        self._training.profile(self.options.who[0], self.shapes[0])

    def rollouts(self) -> None:
        for shape in self.shapes:
            Rollouts(self.options, self.table).measure(shape, self.copy_rate)

    def agreement(self) -> None:
        for what, note in gpu_agreement.compare(self.work):
            self.table.add(what, note=note)

    def demo(self) -> None:
        for what, seconds in gpu_agreement.demo_chain(self.work):
            self.table.add(what, seconds)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=["ceilings", "training", "rollouts"])
    parser.add_argument("--models", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument("--who", nargs="+", choices=[OURS, COMPILED, TRL], default=[OURS, COMPILED, TRL])
    parser.add_argument("--lengths", nargs="+", choices=["even", "spread"], default=["even", "spread"])
    parser.add_argument("--checkpointing", nargs="+", choices=["off", "on"], default=["off", "on"])
    parser.add_argument("--rollouts", type=int, default=16, help="a measured training step: 8, 16, 32 or 64")
    parser.add_argument("--micro-batch", type=int, default=1, help="largest to try without checkpointing")
    parser.add_argument("--checkpointed-micro-batch", type=int, default=1, help="largest to try with it")
    parser.add_argument("--rows", nargs="+", type=int, default=[64, 256], help="rollouts sampled together")
    parser.add_argument("--context", type=int, default=1_400, help="mean tokens of their prompts; halved until it fits")
    parser.add_argument("--matmul", type=float, default=785.0, help="TFLOP/s, where section ceilings does not run")
    parser.add_argument("--copy", type=float, default=4.28, help="TB/s, likewise")
    parser.add_argument("--out", type=Path, help="folder for rows.jsonl")
    parser.add_argument("--tiny", action="store_true", help="a model and lengths that a CPU does in seconds")
    return parser.parse_args()


def main() -> None:
    chosen = options()
    if CUDA:
        torch.cuda.set_device(DEVICE)
    if chosen.out:
        chosen.out.mkdir(parents=True, exist_ok=True)
    table, failed = Table(chosen.out), []
    device = torch.cuda.get_device_name() if CUDA else "CPU"
    table.add(f"{device}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}", note=" ".join(sys.argv[1:]))
    with tempfile.TemporaryDirectory() as work:
        benchmark = Benchmark(chosen, table, Path(work))
        for section in chosen.sections:
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
