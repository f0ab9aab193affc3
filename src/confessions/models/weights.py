"""Whether the tensors in safetensors files are those that a model is made of: names, shapes, kinds, finite values.

Libraries are lenient here: transformers and PEFT fill a hole with random numbers and warn, vLLM may not notice it. What
is expected comes from a model on the meta device, which has shapes and takes no memory.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedModel
from transformers.core_model_loading import revert_weight_conversion

from confessions.runtime.errors import InputError, first_line

SHOWN = 3  # tensors that a message names of each kind of fault
FLOATS = {"F64", "F32", "F16", "BF16"}  # safetensors' names; floats of 8 bits need scales, which nothing here applies
COMPUTED = (r"(^|\.)rotary_emb\.inv_freq$", r"(^|\.)position_ids$")  # in older files; transformers computes them today


@dataclass(frozen=True)
class Expected:
    """What files should hold."""

    tensors: Mapping[str, torch.Tensor]  # by name, on the meta device
    tied: Mapping[str, str] = field(default_factory=dict)  # other names of a tensor; a file may have any or all of them
    may_lack: Sequence[str] = ()  # regular expressions of names
    may_hold: Sequence[str] = ()  # the same, of tensors that no model reads


def of_model(model: PreTrainedModel, held: Collection[str]) -> Expected:
    """What the files of `model`, which is on the meta device, should hold.

    The experts of a mixture lie apart in its authors' files and together in memory. Either will do; `held`, the names
    in the files, tell which of them it is.
    """
    together = model.state_dict()
    apart = revert_weight_conversion(model, together)
    return Expected(
        max(apart, together, key=lambda tensors: len(tensors.keys() & set(held))),
        dict(model.all_tied_weights_keys),
        tuple(model._keys_to_ignore_on_load_missing or ()),
        (*COMPUTED, *(model._keys_to_ignore_on_load_unexpected or ())),
    )


def names(files: Iterable[Path]) -> dict[str, Path]:
    """Which file holds each tensor. Raises InputError for a file that is cut short and a tensor that lies in two."""
    found: dict[str, Path] = {}
    for file in files:
        try:
            with safe_open(file, framework="pt") as tensors:
                held = list(tensors.keys())
        except (SafetensorError, OSError) as error:
            raise InputError(
                f"{file}: not a whole safetensors file ({first_line(error)}); delete it and run snakemake again"
            ) from None
        if twice := sorted(found.keys() & held):
            raise InputError(
                f"{file}: holds {quoted(twice[0])}, and so does {found[twice[0]].name}: delete the wrong one"
            )
        found |= dict.fromkeys(held, file)
    return found


def faults(found: Mapping[str, Path], expected: Expected, dtype: torch.dtype) -> str:
    """What is wrong with the tensors in `found` (see `names`), one line; empty where nothing is.

    Each value is read once; it must be finite in the files and in `dtype`, which the model will run in.
    """
    wrong: dict[str, list[str]] = defaultdict(list)
    for name in expected.tensors.keys() - expected.tied.keys():
        either = {name, *(target for target, source in expected.tied.items() if source == name)}
        if either.isdisjoint(found) and not _matches(name, expected.may_lack):
            wrong["missing"].append(quoted(name))
    for name in found:
        if name not in expected.tensors and not _matches(name, expected.may_hold):
            wrong["unexpected"].append(quoted(name))
    for file in dict.fromkeys(found.values()):
        with safe_open(file, framework="pt") as tensors:
            for name in filter(expected.tensors.__contains__, tensors.offset_keys()):  # as they lie on the disk
                header, should = tensors.get_slice(name), expected.tensors[name]
                shape, is_float = header.get_shape(), header.get_dtype() in FLOATS
                if shape != list(should.shape):
                    wrong["of another shape"].append(f"{quoted(name)}, {shape} for {list(should.shape)}")
                elif is_float != should.is_floating_point():
                    wrong["of another kind"].append(f"{quoted(name)}, {header.get_dtype()}")
                elif is_float and not _is_finite(tensors.get_tensor(name), dtype):
                    wrong["not finite"].append(quoted(name))
    if not wrong:
        wrong["tied, and yet not equal"] = [
            f"{quoted(one)} and {quoted(other)}"
            for one, other in expected.tied.items()
            if {one, other} <= found.keys() and not torch.equal(_read(one, found), _read(other, found))
        ]
    return described(wrong)


def faults_of_loading(info: Mapping[str, Collection], loaded: Mapping[str, torch.Tensor]) -> str:
    """The same, of what transformers has loaded: it says what was missing (output_loading_info)."""
    shapes = [f"{quoted(name)}, {list(held)} for {list(should)}" for name, held, should in info["mismatched_keys"]]
    return described(
        {
            "missing": [*map(quoted, info["missing_keys"])],
            "unexpected": [*map(quoted, info["unexpected_keys"])],
            "of another shape": shapes,
            "not finite": [
                quoted(name)
                for name, tensor in loaded.items()
                if tensor.is_floating_point() and not _is_finite(tensor, tensor.dtype)
            ],
        }
    )


def described(wrong: Mapping[str, Collection[str]]) -> str:
    """Faults by kind as one line, the first of each kind; empty where there are none."""
    parts = []
    for kind, cases in wrong.items():
        more = f" and {len(cases) - SHOWN} more" if len(cases) > SHOWN else ""
        if cases:
            parts.append(f"{kind}: {', '.join(sorted(cases, key=_natural)[:SHOWN])}{more}")
    return "; ".join(parts)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(re.search(pattern, name) for pattern in patterns)


def _is_finite(tensor: torch.Tensor, dtype: torch.dtype) -> bool:
    """Whether every value is finite. The extremes tell, as a NaN is both: one pass, far faster than all of isfinite."""
    return not tensor.numel() or bool(torch.stack(tensor.aminmax()).to(dtype).isfinite().all())


def _read(name: str, found: Mapping[str, Path]) -> torch.Tensor:
    with safe_open(found[name], framework="pt") as tensors:
        return tensors.get_tensor(name)


def _natural(text: str) -> list[tuple[int, int | str]]:
    """Sorts layer 2 before layer 10."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", text)]


def quoted(name: str) -> str:
    """A name as a message shows it: on one line, whatever is in it, and not endless."""
    text = ascii(name)
    return text if len(text) <= 120 else f"{text[:117]}..."
