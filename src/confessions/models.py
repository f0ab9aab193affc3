"""Loading policies, tokenizers and adapters; whatever is wrong with the files becomes one line that names the file."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from safetensors import SafetensorError, safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from confessions.chat import Chat
from confessions.config import Lora
from confessions.errors import InputError, first_line
from confessions.files import spread_blocks

GENERATION_FILE = "generation_config.json"
BASE_FILE = "base.json"  # beside an adapter: the fingerprint of the model that it was trained on


def _check_folder(folder: Path) -> None:
    """Raise InputError for a folder that is no model; its name must never be taken for one on the hub."""
    if not (folder / "config.json").is_file():
        raise InputError(
            f"{folder}: no model here (config.json is missing); check models.*.source in "
            f"config.yaml, or delete the folder and run snakemake again"
        )


def _check_weights(folder: Path) -> None:
    """Raise InputError for a folder that is no model or whose safetensors files are cut short."""
    _check_folder(folder)
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise InputError(
            f"{folder}: no *.safetensors file; delete the folder and run snakemake again, or save "
            f"the model with save_pretrained"
        )
    for file in files:
        _check_safetensors(file)


def _check_safetensors(file: Path) -> None:
    try:
        with safe_open(file, framework="pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{file}: not a whole safetensors file ({first_line(error)}); delete it and run snakemake again"
        ) from None


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder, padding on the left. Raises InputError when there is none."""
    _check_folder(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder}: the tokenizer cannot be loaded ({first_line(error)}); copy the model's tokenizer files there"
        ) from None
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    size, highest = _read_json(folder / "config.json").get("vocab_size"), max(tokenizer.get_vocab().values())
    if size is not None and highest >= size:
        raise InputError(
            f"{folder}: the tokenizer has ids up to {highest}, the model an embedding of {size} rows: they do not "
            "belong together; copy the model's own tokenizer files there, or resize its embedding"
        )
    return tokenizer


def load_chat(folder: Path, thinking: bool, keep_thinking: bool = True) -> Chat:
    """The chat scaffold of a model folder: its tokenizer, its template, and every id that ends a turn."""
    return Chat(load_tokenizer(folder), thinking, keep_thinking, eos_ids(folder))


def eos_ids(folder: Path) -> list[int]:
    """The ids that end a turn by generation_config.json, which names more of them than the tokenizer does (Qwen3)."""
    ids = _generation_config(folder).get("eos_token_id")
    return ids if isinstance(ids, list) else [] if ids is None else [ids]


SAMPLING = {"temperature": 1.0, "top_p": 1.0, "top_k": 0}  # what an author who names only some of them leaves open


def recommended_sampling(folder: Path) -> dict[str, float | int]:
    """temperature, top_p and top_k as the model's authors recommend them, in generation_config.json.

    Raises InputError where they name none, or something that our sampling does not have.
    """
    given = _generation_config(folder)
    named = {name: given[name] for name in SAMPLING if given.get(name) is not None}
    if not named:
        raise InputError(f"{folder}: {GENERATION_FILE} recommends no sampling; set evaluation.sampling in config.yaml")
    others = {"repetition_penalty": 1.0, "min_p": 0.0, "typical_p": 1.0}
    for name, off in others.items():
        if given.get(name) not in (None, off):
            raise InputError(
                f"{folder}: {GENERATION_FILE} recommends {name} {given[name]}, which is not supported; "
                "set evaluation.sampling in config.yaml"
            )
    return SAMPLING | named


def _generation_config(folder: Path) -> dict[str, Any]:
    file = folder / GENERATION_FILE
    return _read_json(file) if file.exists() else {}


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read ({first_line(error)}); copy the model's own file there") from None
    if not isinstance(content, dict):
        raise InputError(f"{file}: not a JSON object; copy the model's own file there")
    return content


def load_model(folder: Path, dtype: str) -> PreTrainedModel:
    """The causal language model in `folder`, on the GPU where there is one. Raises InputError when it cannot be
    loaded."""
    _check_weights(folder)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(
            f"{folder}: the model cannot be loaded ({first_line(error)}); delete the folder and run snakemake again"
        ) from None
    return model.to(device).eval()


@contextmanager
def cast(model: torch.nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Hold the weights in another dtype while the block runs; afterwards they are what they were, bit for bit."""
    kept = [(parameter, parameter.data) for parameter in model.parameters()]
    for parameter, weights in kept:
        parameter.data = weights.to(dtype)
    try:
        yield
    finally:
        for parameter, weights in kept:
            parameter.data = weights


def fingerprint(folder: Path) -> str:
    """A hash that tells one base model from another without reading gigabytes.

    It covers the config and of each weight file the size and at most 64 blocks of 1 MiB, evenly spread: a file of up
    to 64 MiB is read whole. Raises InputError for a folder that is no whole model.
    """
    _check_weights(folder)
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for file in sorted(folder.glob("*.safetensors")):
        digest.update(str(file.stat().st_size).encode())
        for block in spread_blocks(file):
            digest.update(block)
    return digest.hexdigest()


def lora_config(lora: Lora) -> LoraConfig:
    """PEFT's words for an adapter of a causal language model."""
    return LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=lora.target_modules, task_type="CAUSAL_LM")


def save_adapter(model: PeftModel, folder: Path, base: str) -> None:
    """Write a PEFT adapter and the fingerprint of its base model; two equal ones are equal byte for byte."""
    model.save_pretrained(folder)
    # PEFT keeps the names of layers in sets and writes them in the order of this process's hashes.
    settings = [item for config in model.peft_config.values() for item in vars(config).items()]
    ordered = {name: sorted(value) for name, value in settings if isinstance(value, set)}
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | ordered, indent=2, sort_keys=True))
    (folder / BASE_FILE).write_text(json.dumps({"fingerprint": base}) + "\n")


def save_model(
    model: PreTrainedModel, weights: Mapping[str, torch.Tensor], folder: Path, dtype: str, base: Path
) -> None:
    """Write `weights`, those of `model`, as a model folder in `dtype`, with the tokenizer of the model in `base` and
    its generation_config.json: end tokens and recommended sampling stay its authors'."""
    kept = {name: tensor for name, tensor in weights.items() if name not in model.all_tied_weights_keys}
    for name, tensor in kept.items():
        kept[name] = tensor.to("cpu", getattr(torch, dtype) if tensor.is_floating_point() else None)
    model.save_pretrained(folder, state_dict=kept)
    model.config.dtype = dtype  # save_pretrained names the one that it was trained in
    model.config.save_pretrained(folder)
    load_tokenizer(base).save_pretrained(folder)
    if (base / GENERATION_FILE).exists():
        shutil.copyfile(base / GENERATION_FILE, folder / GENERATION_FILE)


def check_adapter(folder: Path, base: Path) -> None:
    """Raise InputError when the adapter is missing, cut short or was trained on another model than the one in
    `base`."""
    weights = folder / "adapter_model.safetensors"
    if not weights.is_file():
        raise InputError(f"{folder}: no adapter here (adapter_model.safetensors is missing); run snakemake to train it")
    _check_safetensors(weights)
    try:
        json.loads((folder / "adapter_config.json").read_text())
    except (OSError, ValueError):
        raise InputError(
            f"{folder}: adapter_config.json is missing or damaged; delete the folder and run snakemake again"
        ) from None
    try:
        trained_on = json.loads((folder / BASE_FILE).read_text())["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{folder}: {BASE_FILE} is missing or damaged, so the adapter's base model is unknown; "
            f"delete the folder and run snakemake again"
        ) from None
    if trained_on != fingerprint(base):
        raise InputError(
            f"{folder}: this adapter was trained on another base model than {base}; delete the "
            f"folder and run snakemake again, or name the right model"
        )
