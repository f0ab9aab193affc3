"""Seconds of a warm-start step and its peak memory, by setting of the trainer, in one run.

    python benchmarks/warm_start_steps.py EXPERIMENT [--configfile FILE ...] [--steps 6] [--only NAME ...]

It shows the experiment's own demonstrations to its own policy, which has to be built (snakemake results/models/KEY). A
setting that is not installed, or does not fit, is said and passed over. The first two steps of each are left out, in
which kernels are chosen and compiled. One JSON object a setting:

base           as the experiment has it
rows_N         N rows a forward pass
liger          Liger's kernels (pip install liger-kernel), which never hold all logits
packed         no padding: rows one behind the other, by flex_attention
compiled       torch.compile
"""

import argparse
import gc
import json
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import TrainerCallback

LEFT_OUT = 2  # steps
SETTINGS: dict[str, dict[str, Any]] = {
    "base": {},
    "rows_4": {"micro_batch": 4},
    "rows_16": {"micro_batch": 16},
    "liger": {"use_liger_kernel": True},
    "packed": {"padding_free": True, "attention": "flex_attention"},
    "compiled": {"torch_compile": True},
}


class Clock(TrainerCallback):
    """Seconds of every step, the GPU's work included."""

    def __init__(self):
        self.seconds: list[float] = []

    def on_step_begin(self, args, state, control, **_):
        self.began = _now()

    def on_step_end(self, args, state, control, **_):
        self.seconds.append(_now() - self.began)


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", help="one with a warm start on evidence")
    parser.add_argument("--configfile", type=Path, nargs="*", default=[])
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--only", nargs="*", choices=SETTINGS, default=list(SETTINGS))
    options = parser.parse_args()

    from confessions import tasks
    from confessions.config import load
    from confessions.models import loading
    from confessions.pipeline import paths
    from confessions.training import post_training
    from confessions.training.warm_start import demonstrations

    config = load("config.yaml", *options.configfile)
    experiment = config.experiments[options.experiment]
    train, model = experiment.train, config.models[experiment.policy]
    folder = Path(paths.model_folder(experiment.policy))
    chat = loading.load_chat(folder, model.thinking)
    shown = train.warm_start.model_copy(update={"steps": LEFT_OUT + options.steps})
    rows = demonstrations(tasks.get(experiment.task, experiment.problems), chat, shown, train.variant, seed=0)
    tokens = sum(len(row["input_ids"]) for row in rows) / shown.steps

    def measured(micro_batch: int = shown.micro_batch, attention: str | None = None, **more: Any) -> dict[str, Any]:
        """One setting, on a policy of its own."""
        policy, clock = loading.load_model(folder, model.dtype), Clock()
        if attention:
            policy.set_attn_implementation(attention)
        asked = shown.model_copy(update={"micro_batch": micro_batch})
        with tempfile.TemporaryDirectory() as work:
            arguments = post_training.arguments(asked, asked.prompts_per_step, 0, model.dtype, Path(work)) | more
            trainer = post_training.imitation(train.lora, chat, policy, rows, arguments)
            trainer.add_callback(clock)
            trainer.train()
        kept = clock.seconds[LEFT_OUT:]
        return {"seconds": median(kept), "least": min(kept), "most": max(kept)}

    for name in options.only:
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        try:
            found = measured(**SETTINGS[name])
        except Exception as error:  # a setting that this machine lacks is no reason to measure none
            found = {"failed": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}
        peak = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else None
        print(json.dumps({"setting": name, **found, "tokens": tokens, "peak_gib": peak}), flush=True)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
