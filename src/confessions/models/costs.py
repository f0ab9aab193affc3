"""Speed and size of models: measured throughputs, and a roofline estimate where nothing was measured.

Tokens a second come from data/throughput.csv where a model was measured on the device. Elsewhere they are estimated:

decode   a step reads every weight once and the keys and values of the whole batch at half the length of a rollout, at
         DECODE_SHARE of the device's bandwidth
prompt   2 operations a parameter and token, at COMPUTE_SHARE of the device's bfloat16 rate
train    4 operations a parameter and token (the frozen weights of a LoRA pass have no gradients; where every weight is
         trained, 6), 2 more with gradient checkpointing, 2 more with a reference model; at COMPUTE_SHARE. The measured
         passes are LoRA's: one of every weight is estimated at two thirds of their speed

Attention's own operations are left out. Nothing here imports torch.
"""

import csv
from dataclasses import dataclass
from importlib.resources import files
from typing import NamedTuple

from confessions.runtime.errors import InputError


class Device(NamedTuple):
    """A GPU, from its maker's data sheet."""

    bandwidth: float  # bytes a second
    operations: float  # bfloat16, dense, a second
    memory: float  # bytes


DEVICES = {
    "H200": Device(4.8e12, 989e12, 141e9),
    "H100": Device(3.35e12, 989e12, 80e9),
    "A100": Device(2.04e12, 312e12, 80e9),
}
DECODE_SHARE, COMPUTE_SHARE = 0.5, 0.4
FULL_PASS = 4 / 6  # speed of a pass that has a gradient for every weight, by a LoRA pass's
SIZE = {"float32": 4, "bfloat16": 2}  # bytes of a number
CPU = "cpu"


@dataclass(frozen=True)
class Shape:
    """A row of data/shapes.csv."""

    parameters: int
    active: int
    hidden: int
    feed_forward: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int

    def cache_bytes(self, dtype: str) -> int:
        """Keys and values of one token."""
        return 2 * self.layers * self.kv_heads * self.head_dim * SIZE[dtype]

    def rows(self, memory: float, length: int, dtype: str) -> int:
        """How many conversations of `length` tokens fit beside the weights."""
        left = memory - self.parameters * SIZE[dtype]
        return int(left // (length * self.cache_bytes(dtype)))

    def adapter_parameters(self, rank: int) -> int:
        """Of a LoRA adapter of every linear layer of a dense model: rank * (inputs + outputs) each."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        attention = 2 * (self.hidden + queries) + 2 * (self.hidden + keys)
        return rank * self.layers * (attention + 3 * (self.hidden + self.feed_forward))


@dataclass(frozen=True)
class Rates:
    """Tokens a second of one model on one device; None: not known."""

    decode: float | None
    train: float | None
    prompt: float | None  # None: the decode rate has the prompts in it
    basis: str


def shapes() -> dict[str, Shape]:
    """Shapes by name: a hub repository, nano:size or gguf:file."""
    return {row.pop("model"): Shape(**{k: int(v) for k, v in row.items()}) for row in _rows("shapes.csv")}


def measured(name: str, device: str, engine: str) -> tuple[float | None, float | None] | None:
    """Measured decode and train rates, each None where it was not measured; None where there is no row."""
    for row in _rows("throughput.csv"):
        if (row["model"], row["device"], row["engine"]) == (name, device, engine):
            decode, train = (row[column] for column in ("decode_tok_s", "train_tok_s"))
            return float(decode) if decode else None, float(train) if train else None
    return None


def check_device(device: str) -> None:
    """Raise InputError for a GPU whose data sheet is not in DEVICES."""
    if device not in DEVICES:
        raise InputError(f"--device {device}: unknown; known: {', '.join(DEVICES)}")


def rates(
    name: str, dtype: str, device: str, engine: str, batch: int, length: int, passes: int, full: bool = False
) -> Rates:
    """Rates of the model `name`: `batch` rollouts of `length` tokens are generated together, and training takes
    `passes` operations a parameter and token (0: nothing is trained), of every weight where `full`."""
    found, shape = measured(name, device, engine), shapes().get(name)
    decode, train = found or (None, None)
    if full and train:
        train *= FULL_PASS
    if device == CPU or shape is None:
        return Rates(decode, train, None, "not known" if not found else "estimate" if full else "measured")
    read = shape.parameters * SIZE[dtype] + batch * length / 2 * shape.cache_bytes(dtype)
    compute = COMPUTE_SHARE * DEVICES[device].operations / shape.active
    complete = decode and (train or not passes) and not full
    return Rates(
        decode or min(batch * DECODE_SHARE * DEVICES[device].bandwidth / read, compute / 2),
        train or (compute / passes if passes else None),
        None if decode else compute / 2,
        "measured" if complete else "estimate",
    )


def _rows(name: str) -> list[dict[str, str]]:
    text = (files("confessions") / "data" / name).read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
