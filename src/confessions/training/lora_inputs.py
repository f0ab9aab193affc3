"""LoRA in mixed precision without casts that undo each other."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft.helpers import disable_input_dtype_casting
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import Trainer


class UncastInputs(Trainer):
    """A trainer whose adapters take their inputs as they are.

    PEFT makes every adapter's input float32, as its weights are, and autocast makes it bfloat16 again. Without the two
    casts the loss and every gradient are the same numbers, sooner. Only where autocast is on: without it the dtypes of
    weight and input must agree, as when a policy samples the step's inputs.
    """

    def training_step(self, model: torch.nn.Module, *args: Any, **kwargs: Any) -> torch.Tensor:
        with disable_input_dtype_casting(model, active=self.args.bf16):
            return super().training_step(model, *args, **kwargs)

    def _prepare_inputs(self, inputs: Any) -> Any:
        with _inputs_cast(self.model):
            return super()._prepare_inputs(inputs)


@contextmanager
def _inputs_cast(model: torch.nn.Module) -> Iterator[None]:
    """PEFT's own behaviour inside disable_input_dtype_casting."""
    before = [(layer, layer.cast_input_dtype_enabled) for layer in model.modules() if isinstance(layer, BaseTunerLayer)]
    for layer, _ in before:
        layer.cast_input_dtype_enabled = True
    try:
        yield
    finally:
        for layer, enabled in before:
            layer.cast_input_dtype_enabled = enabled
