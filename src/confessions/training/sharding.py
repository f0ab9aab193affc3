"""Full fine-tuning on several GPUs: weights, gradients and optimiser shared out by torch's FSDP2, through accelerate.

Where an adapter is trained, every process holds the whole model (DDP), and nothing of this applies.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from accelerate import Accelerator
from torch.distributed.fsdp import FSDPModule

from confessions.config import Train
from confessions.runtime.errors import InputError


def arguments(settings: Train) -> dict[str, Any]:
    """transformers' arguments: each decoder layer is a unit, and each process writes its part of a checkpoint."""
    return {
        "fsdp": True,
        "fsdp_config": {
            "version": 2,
            "reshard_after_forward": True,
            "state_dict_type": "SHARDED_STATE_DICT",
            "activation_checkpointing": settings.gradient_checkpointing,
        },
        "gradient_checkpointing": False,  # the same thing, as a model that is not sharded does it
        # Of the reference model. TRL leaves it "auto" but for DDP and DeepSpeed: then it may lie on other GPUs than the
        # process' own, and FSDP ends there (oumi-ai/oumi, pull request 2673).
        "model_init_kwargs": {"device_map": None},
        # Otherwise each process would add up the gradients of a whole model until the last micro-batch.
        "accelerator_config": {"gradient_accumulation_kwargs": {"sync_each_batch": True}},
    }


def require_gpus() -> None:
    """Raise InputError where there is none. torch would shard on CPUs, but accelerate takes FSDP for GPUs alone
    (AcceleratorState compares the kind of its processes) and would leave every process a whole model, unsaid."""
    if not torch.cuda.is_available():
        raise InputError(
            "train.processes above 1 without train.lora shares the weights out (FSDP), and for that accelerate wants "
            "GPUs: set train.processes: 1, or name an adapter in train.lora"
        )


def reduce_in_float32(accelerator: Accelerator) -> None:
    """Add up the gradients of the processes in float32; accelerate would in bfloat16, where the forward pass is."""
    plugin = getattr(accelerator.state, "fsdp_plugin", None)
    if plugin and plugin.mixed_precision_policy:
        plugin.mixed_precision_policy = replace(plugin.mixed_precision_policy, reduce_dtype=torch.float32)


@contextmanager
def whole(model: torch.nn.Module) -> Iterator[None]:
    """Let every process hold all weights while the block runs, so that its forward passes need nothing of the others:
    each samples its own rows, and these end after different numbers of tokens."""
    units = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for unit in units:
        unit.set_reshard_after_forward(False, recurse=False)
        unit.unshard()
    try:
        yield
    finally:
        for unit in units:
            unit.set_reshard_after_forward(True, recurse=False)
            unit.reshard()
