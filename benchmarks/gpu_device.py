"""What the sections of gpu.py share: the device, its clock and memory, random models, and the table of results."""

import gc
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
from gpu_shapes import Shape
from transformers import AutoModelForCausalLM, PreTrainedModel

CUDA = torch.cuda.is_available()
RANK, N_PROCESSES = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
DEVICE = torch.device("cuda", RANK) if CUDA else torch.device("cpu")
DTYPE = torch.bfloat16 if CUDA else torch.float32  # a CPU has no mixed precision here
GIB, TERA = 2**30, 1e12
COLUMNS = ("what", "seconds", "tokens/s", "peak GiB", "of ceiling", "note")


class Table:
    """Prints each row as it comes, on the first process alone, and appends it to a file of JSON lines."""

    def __init__(self, out: Path | None):
        self.file = out / "rows.jsonl" if out and not RANK else None
        self._print(*COLUMNS)

    def _print(self, what: str, *cells: str) -> None:
        if not RANK:
            *numbers, note = cells
            print(f"{what:62}" + "".join(f"{cell:>11}" for cell in numbers) + f"  {note}", flush=True)

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
        """A row; `more` goes to the file only."""
        values = (seconds, tokens_per_s, peak, of_ceiling)
        forms = ("{:.4g}", "{:,.0f}", "{:.1f}", "{:.1%}")
        shown = ("" if value is None else form.format(value) for value, form in zip(values, forms, strict=True))
        self._print(what, *shown, note)
        if self.file:
            row = dict(zip(COLUMNS, (what, *values, note), strict=True)) | more
            with self.file.open("a") as stream:
                stream.write(json.dumps(row) + "\n")


def synchronize() -> None:
    if CUDA:
        torch.cuda.synchronize()


def timed(work: Callable[[], object]) -> float:
    """Seconds until the device has done it."""
    synchronize()
    began = time.perf_counter()
    work()
    synchronize()
    return time.perf_counter() - began


def peak_gib() -> float | None:
    """Highest memory since the last clear()."""
    return torch.cuda.max_memory_allocated() / GIB if CUDA else None


def clear() -> None:
    """Let go of what a failed or finished measurement holds."""
    torch.compiler.reset()
    gc.collect()
    if CUDA:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def random_model(shape: Shape) -> PreTrainedModel:
    """Made where it stays."""
    torch.manual_seed(0)
    with DEVICE:
        return AutoModelForCausalLM.from_config(shape.config(), dtype=DTYPE, trust_remote_code=False).eval()


def device_seconds(event) -> float:
    """Time of a profiler's entry on the device, without what it called."""
    return (event.self_device_time_total if CUDA else event.self_cpu_time_total) / 1e6
