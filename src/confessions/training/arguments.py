"""What TRL's trainers are all told."""

from pathlib import Path
from typing import Any

import torch

from confessions.config import PostTrained, Train, WarmStart


def trl_arguments(
    settings: Train | PostTrained | WarmStart, seed: int, output: Path, dtype: str, sequences: int, micro_batch: int
) -> dict[str, Any]:
    """Arguments of a run of `settings.steps` steps of `sequences`, `micro_batch` in a forward pass."""
    return {
        "output_dir": str(output),
        "seed": seed,
        "max_steps": settings.steps,
        "per_device_train_batch_size": micro_batch,
        "gradient_accumulation_steps": sequences // micro_batch,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "constant_with_warmup",
        "bf16": dtype == "bfloat16",
        "use_cpu": not torch.cuda.is_available(),  # said outright, bfloat16 is allowed there
        "logging_steps": 1,
        "report_to": [],
        "disable_tqdm": True,  # callbacks show the progress
        "dataloader_pin_memory": torch.cuda.is_available(),
    }
