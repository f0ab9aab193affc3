"""LoRA in mixed precision without casts that undo each other."""

from typing import Any

import torch
from peft.helpers import disable_input_dtype_casting
from transformers import Trainer


class UncastInputs(Trainer):
    """A trainer whose adapters take their inputs as they are.

    PEFT makes every adapter's input float32, as its weights are, and autocast makes it bfloat16 again. Without the two
    casts the loss and every gradient are the same numbers, sooner. Only where autocast is on: without it the dtypes of
    weight and input must agree.
    """

    def training_step(self, model: torch.nn.Module, *args: Any, **kwargs: Any) -> torch.Tensor:
        with disable_input_dtype_casting(model, active=self.args.bf16):
            return super().training_step(model, *args, **kwargs)
