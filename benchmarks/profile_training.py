"""Where a training step's time goes, kernel by kernel.

    python benchmarks/profile_training.py EXPERIMENT:SEED --out FOLDER [--configfile FILE ...] [--first 3] [--steps 3]

It trains as `confessions run` does, in the folder where it is called: warm start, dual-span GRPO or both, whichever the
experiment has. torch's profiler watches `--steps` steps of each, from step `--first` on. It writes FOLDER/TRAINER.txt,
the operators that took longest, and FOLDER/TRAINER.json, a trace for chrome://tracing or Perfetto. The run goes to its
end: lay a file with few steps over config.yaml.
"""

import argparse
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile
from transformers import TrainerCallback
from transformers.trainer import DEFAULT_CALLBACKS

ROWS = 40  # operators of the table


class Watched(TrainerCallback):
    """The profiler around some steps of a trainer."""

    out: Path
    first: int
    steps: int

    def __init__(self):
        self.watch: profile | None = None

    def on_step_begin(self, args, state, control, **_):
        if state.global_step == self.first:
            gpu = [ProfilerActivity.CUDA] if torch.cuda.is_available() else []
            self.watch = profile(activities=[ProfilerActivity.CPU, *gpu])
            self.watch.start()

    def on_step_end(self, args, state, control, model=None, **_):
        if self.watch is None or state.global_step < self.first + self.steps:
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.watch.stop()
        name = "training" if type(args).__name__ == "GRPOConfig" else "warm_start"
        self.out.mkdir(parents=True, exist_ok=True)
        by = "self_device_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
        table = self.watch.key_averages().table(sort_by=by, row_limit=ROWS, max_name_column_width=90)
        (self.out / f"{name}.txt").write_text(table)
        self.watch.export_chrome_trace(str(self.out / f"{name}.json"))
        self.watch = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="experiment:seed")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--configfile", type=Path, nargs="*", default=[])
    parser.add_argument("--first", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3)
    options = parser.parse_args()
    Watched.out, Watched.first, Watched.steps = options.out, options.first, options.steps
    DEFAULT_CALLBACKS.append(Watched)

    from confessions.config import load
    from confessions.pipeline import one_process

    one_process.run(load("config.yaml", *options.configfile), [options.name], print)


if __name__ == "__main__":
    main()
