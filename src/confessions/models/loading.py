"""Loading policies, tokenizers and adapters; whatever is wrong with the files becomes one line that names the file."""

import hashlib
import json
import shutil
import textwrap
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from confessions.config import Lora, Sampling
from confessions.models import weights
from confessions.models.chat import SYSTEM_AS_USER, Chat, takes_system_as_user
from confessions.models.costs import Shape
from confessions.models.endpoint import is_endpoint
from confessions.runtime.errors import InputError, first_line
from confessions.runtime.files import spread_blocks

GENERATION_FILE = "generation_config.json"
ADAPTER_FILE = "adapter_model.safetensors"
BASE_FILE = "base.json"  # beside an adapter: the fingerprint of the model that it was trained on
CODE = "auto_map"  # of config.json and tokenizer_config.json: classes in files beside them
OWN_FILE, AGAIN = "copy the model's own file there", "delete the folder and run snakemake again"
REFUSED = {  # keys of config.json: the engines would read them in different ways, or not at all
    "quantization_config": "its weights are quantised; use the model in full precision",
    "transformers_weights": "its weights are in a file of another name; call it model.safetensors and take the key out",
}


def _check_folder(folder: Path) -> dict[str, Any]:
    """The content of config.json. Raises InputError for a folder that is no model, or one that we do not run; its name
    must never be taken for one on the hub."""
    file = folder / "config.json"
    if is_endpoint(folder):
        raise InputError(f"{folder}: a model that Inspect asks has no weights here: it is sampled, and judges; no more")
    if not file.is_file():
        raise InputError(
            f"{folder}: no model here (config.json is missing); check models.*.source in "
            f"config.yaml, or delete the folder and run snakemake again"
        )
    try:
        config = _read_json(file)
    except InputError:
        raise InputError(f"{folder}: config.json is damaged; {OWN_FILE}") from None
    _refuse_code(file, config)
    for key, reason in REFUSED.items():
        if config.get(key):
            raise InputError(f"{folder}: the model cannot be loaded: config.json has {key}: {reason}")
    return config


def _refuse_code(file: Path, content: Mapping[str, Any]) -> None:
    """Raise InputError where a model needs code that came with it: nothing here runs that."""
    if content.get(CODE):
        raise InputError(
            f"{file.parent}: {file.name} names code of its own ({CODE}), which is never run (trust_remote_code is "
            "False); use a model that transformers knows without it"
        )


def _said(error: Exception) -> str:
    """What an error says, the beginning of it on one line: the first alone is often no more than a heading."""
    return textwrap.shorten(str(error) or type(error).__name__, 200, placeholder=" ...")


def load_config(folder: Path) -> PreTrainedConfig:
    """The configuration of a model folder. Raises InputError where transformers has no model of that kind."""
    _check_folder(folder)
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # whatever a class raises over values that somebody wrote into the file
        raise _no_such_model(folder, "that transformers knows", error) from None


def _outline(config: PreTrainedConfig, where: str) -> PreTrainedModel:
    """The model that `config` describes, on the meta device: names and shapes, no memory."""
    try:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except Exception as error:  # as in load_config
        raise _no_such_model(where, "that can be built", error) from None


def _no_such_model(where: str | Path, what: str, error: Exception) -> InputError:
    return InputError(
        f"{where}: the model cannot be loaded: config.json describes none {what} ({_said(error)}); {OWN_FILE}"
    )


def _weight_files(folder: Path) -> list[Path]:
    """The files that hold a model's weights, for each engine the same. Raises InputError where that is not clear."""
    here = {file.name: file for file in sorted(folder.glob("*.safetensors"))}
    if not here:
        raise InputError(f"{folder}: no *.safetensors file; {AGAIN}, or save the model with save_pretrained")
    if (folder / "adapter_config.json").exists():
        raise InputError(
            f"{folder}: an adapter lies beside the model (adapter_config.json), and transformers would add it: move it"
        )
    indexed = set(_indexed(folder / SAFE_WEIGHTS_INDEX_NAME).values())
    named = indexed or {SAFE_WEIGHTS_NAME}
    if missing := sorted(named - here.keys()):
        raise InputError(
            f"{folder}: the model cannot be loaded: its weight file {missing[0]!r} is missing; copy it there"
        )
    others = here.keys() - named
    if indexed:  # then vLLM reads what it names, and transformers the one file all the same
        others &= {SAFE_WEIGHTS_NAME}
    if others:
        raise InputError(
            f"{folder}: {min(others)} is no part of the model beside it, and an engine would read it: move it elsewhere"
        )
    return [here[name] for name in sorted(named)]


def _indexed(index: Path) -> dict[str, str]:
    """The file of each tensor that an index of shards names; none where there is no index."""
    if not index.exists():
        return {}
    shards = _read_json(index).get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(isinstance(name, str) for name in shards.values()):
        raise InputError(f"{index}: no map from tensors to files (weight_map); {OWN_FILE}")
    return shards


def _check_index(index: Path, found: Mapping[str, Path], tied: Collection[str]) -> None:
    """Raise InputError where an index of shards says what is not so. It may name a tensor that is another one's copy,
    in whichever file."""
    for name, file in _indexed(index).items():
        if found.get(name, index).name != file and (name in found or name not in tied):
            what = f"it says that {file} holds {weights.quoted(name)}, which it does not"
            raise InputError(f"{index}: {what}; {OWN_FILE}")
    if index.exists() and not isinstance(_read_json(index).get("metadata"), dict):
        raise InputError(f"{index}: metadata is missing, and transformers needs it; {OWN_FILE}")


def check_model(folder: Path, dtype: str) -> None:
    """Raise InputError unless the weights in `folder` are all of those that its config.json describes, and no others:
    names, shapes, kinds, and every value finite in `dtype`. Reads each file once and fills no memory."""
    config, found = load_config(folder), weights.names(_weight_files(folder))
    outline, index = _outline(config, str(folder)), folder / SAFE_WEIGHTS_INDEX_NAME
    _check_architecture(folder, config, outline)
    expected = weights.of_model(outline, found)
    refuse(folder, weights.faults(found, expected, getattr(torch, dtype)))
    _check_index(index, found, expected.tied)


def _check_architecture(folder: Path, config: PreTrainedConfig, outline: PreTrainedModel) -> None:
    """Raise InputError where `architectures` is another class of transformers than the one that it builds: vLLM goes by
    that key, transformers by model_type. Names that transformers does not have are older ones of the same."""
    built = type(outline).__name__
    if others := [name for name in config.architectures or () if name != built and hasattr(transformers, name)]:
        raise InputError(
            f"{folder}: the model cannot be loaded: config.json has architectures: {others[0]}, and its model_type is "
            f"run as {built}; {OWN_FILE}"
        )


def refuse(where: Path, faults: str) -> None:
    """Raise InputError where there are faults in a model's weights (see weights.described)."""
    if faults:
        raise InputError(
            f"{where}: the model cannot be loaded: its weights are not those that its configuration describes "
            f"({faults}); get the model's own files again"
        )


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder, padding on the left. Raises InputError when there is none."""
    config, own = load_config(folder), folder / "tokenizer_config.json"
    if own.exists():
        _refuse_code(own, _read_json(own))
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left", trust_remote_code=False)
        if not tokenizer.encode("word", add_special_tokens=False):
            raise ValueError("it makes no token of a word")
    except Exception as error:  # as in load_config
        raise InputError(
            f"{folder}: the tokenizer cannot be loaded ({_said(error)}); copy the model's tokenizer files there"
        ) from None
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    size, highest = getattr(config, "vocab_size", None), max(tokenizer.get_vocab().values())
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
    given = _generation_config(folder).get("eos_token_id")
    ids = given if isinstance(given, list) else [] if given is None else [given]
    if odd := [number for number in ids if type(number) is not int or number < 0]:
        raise InputError(
            f"{folder}: {GENERATION_FILE}: eos_token_id has {odd[0]!r}, which is no token's id; {OWN_FILE}"
        )
    return ids


SAMPLING = {"temperature": 1.0, "top_p": 1.0, "top_k": 0}  # what an author who names only some of them leaves open


def recommended_sampling(folder: Path) -> dict[str, float | int]:
    """temperature, top_p and top_k as the model's authors recommend them, in generation_config.json.

    Raises InputError where they name none, or something that our sampling does not have or cannot be.
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
    try:
        return Sampling.model_validate(SAMPLING | named).model_dump()
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise InputError(
            f"{folder}: {GENERATION_FILE} recommends {name} {named[name]!r} ({first['msg']}); "
            "set evaluation.sampling in config.yaml"
        ) from None


def _generation_config(folder: Path) -> dict[str, Any]:
    file = folder / GENERATION_FILE
    return _read_json(file) if file.exists() else {}


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"), parse_constant=_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{file}: cannot be read ({first_line(error)}); {OWN_FILE}") from None
    if not isinstance(content, dict):
        raise InputError(f"{file}: not a JSON object; {OWN_FILE}")
    return content


def _constant(name: str) -> float:
    """What JSON does not have, and python writes. No setting is a NaN; some authors' are infinite."""
    if name == "NaN":
        raise ValueError("it holds NaN, which is no number")
    return float(name)


def load_model(folder: Path, dtype: str) -> PreTrainedModel:
    """The causal language model in `folder`, on the GPU where there is one. Raises InputError when it cannot be
    loaded, and where its weights are not whole (check_model)."""
    check_model(folder, dtype)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), trust_remote_code=False, output_loading_info=True
        )
    except Exception as error:  # as in load_config
        raise InputError(f"{folder}: the model cannot be loaded ({_said(error)}); {AGAIN}") from None
    refuse(folder, weights.faults_of_loading(info, model.state_dict() | dict(model.named_buffers())))
    return model.to(device).eval()


@contextmanager
def cast(model: torch.nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Hold the weights in another dtype while the block runs; afterwards they are what they were, bit for bit."""
    kept = [(parameter, parameter.data) for parameter in model.parameters()]
    for parameter, data in kept:
        parameter.data = data.to(dtype)
    try:
        yield
    finally:
        for parameter, data in kept:
            parameter.data = data


def fingerprint(folder: Path) -> str:
    """A hash that tells one base model from another without reading gigabytes.

    It covers the config and of each weight file the size and at most 64 blocks of 1 MiB, evenly spread: a file of up
    to 64 MiB is read whole. Whether a system prompt is put in front of the user's message counts too. Raises InputError
    for a folder that is no whole model.
    """
    _check_folder(folder)
    files = _weight_files(folder)
    weights.names(files)
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    if takes_system_as_user(folder):
        digest.update(SYSTEM_AS_USER.encode())
    for file in files:
        digest.update(str(file.stat().st_size).encode())
        for block in spread_blocks(file):
            digest.update(block)
    return digest.hexdigest()


def lora_config(lora: Lora) -> LoraConfig:
    """PEFT's words for an adapter of a causal language model."""
    return LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=lora.target_modules, task_type="CAUSAL_LM")


def save_adapter(model: PeftModel, folder: Path, base: str) -> None:
    """Write a PEFT adapter and the fingerprint of its base model; two equal ones are equal byte for byte."""
    model.save_pretrained(folder, selected_adapters=[model.active_adapter])  # not TRL's reference
    # PEFT keeps the names of layers in sets and writes them in the order of this process's hashes.
    settings = [item for config in model.peft_config.values() for item in vars(config).items()]
    ordered = {name: sorted(value) for name, value in settings if isinstance(value, set)}
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | ordered, indent=2, sort_keys=True))
    (folder / BASE_FILE).write_text(json.dumps({"fingerprint": base}) + "\n")


def hand_over_adapter(model: PeftModel, folder: Path) -> None:
    """Write the active adapter as an engine of this moment wants it: in the dtype of the base model, and no more.

    The trainer multiplies in that dtype too (autocast), so that nothing is lost that it would use.
    """
    dtype, name = model.get_base_model().dtype, model.active_adapter
    state = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    folder.mkdir(parents=True)
    save_file({key: tensor.to("cpu", dtype).contiguous() for key, tensor in state.items()}, folder / ADAPTER_FILE)
    model.peft_config[name].save_pretrained(folder)


def save_model(model: PreTrainedModel, state: Mapping[str, torch.Tensor], folder: Path, dtype: str, base: Path) -> None:
    """Write `state`, the weights of `model`, as a model folder in `dtype`, with the tokenizer of the model in `base`
    and its generation_config.json: end tokens and recommended sampling stay its authors'."""
    kept = {name: tensor for name, tensor in state.items() if name not in model.all_tied_weights_keys}
    for name, tensor in kept.items():
        kept[name] = tensor.to("cpu", getattr(torch, dtype) if tensor.is_floating_point() else None)
    model.save_pretrained(folder, state_dict=kept)
    model.config.dtype = dtype  # save_pretrained names the one that it was trained in
    model.config.save_pretrained(folder)
    load_tokenizer(base).save_pretrained(folder)
    if (base / GENERATION_FILE).exists():
        shutil.copyfile(base / GENERATION_FILE, folder / GENERATION_FILE)


def check_adapter(folder: Path, base: Path) -> None:
    """Raise InputError when the adapter is missing or damaged, was trained on another model than the one in `base`, or
    is not what its configuration says (check_adapter_weights)."""
    _adapter_names(folder)
    try:
        trained_on = _read_json(folder / BASE_FILE)["fingerprint"]
    except (InputError, KeyError):
        what = f"{BASE_FILE} is missing or damaged, so the adapter's base model is unknown"
        raise InputError(f"{folder}: {what}; {AGAIN}") from None
    if trained_on != fingerprint(base):
        what = f"this adapter was trained on another base model than {base}"
        raise InputError(f"{folder}: {what}; {AGAIN}, or name the right model")
    check_adapter_weights(folder, load_config(base))


def _adapter_names(folder: Path) -> dict[str, Path]:
    """The tensors of an adapter (see weights.names). Raises InputError where it is missing, cut short or has no
    settings."""
    file = folder / ADAPTER_FILE
    if not file.is_file():
        raise InputError(f"{folder}: no adapter here ({ADAPTER_FILE} is missing); run snakemake to train it")
    found = weights.names([file])
    try:
        json.loads((folder / "adapter_config.json").read_text())
    except (OSError, ValueError, RecursionError):
        raise InputError(f"{folder}: adapter_config.json is missing or damaged; {AGAIN}") from None
    return found


def check_adapter_weights(folder: Path, base: PreTrainedConfig) -> None:
    """Raise InputError unless an adapter holds what its adapter_config.json adds to a model of the configuration
    `base`, and no more: names, shapes, finite values, and layers for each of its target_modules."""
    found = _adapter_names(folder)
    try:
        config = PeftConfig.from_pretrained(folder)
        start = config.init_lora_weights
    except Exception as error:  # as in load_config
        raise InputError(f"{folder}: adapter_config.json describes no LoRA adapter ({_said(error)}); {AGAIN}") from None
    if not isinstance(start, bool):
        what = f"adapter_config.json has init_lora_weights = {start!r}, which may change the base model"
        raise InputError(f"{folder}: {what}; {AGAIN}")
    adapted = _adapted(config, base, str(folder))
    for name, module in adapted.named_modules():
        for scale in module.scaling.values() if isinstance(module, LoraLayer) else ():
            if not torch.tensor(scale, dtype=torch.float32).isfinite():
                what = f"adapter_config.json scales {name} by {scale} (lora_alpha, alpha_pattern)"
                raise InputError(f"{folder}: {what}; {AGAIN}")
    if wrong := weights.faults(found, weights.Expected(get_peft_model_state_dict(adapted)), torch.float32):
        raise InputError(
            f"{folder}: the adapter cannot be loaded: its weights are not those that adapter_config.json describes "
            f"({wrong}); {AGAIN}"
        )


def shape_of(folder: Path) -> Shape:
    """The sizes of the model in `folder`, by its configuration; of a mixture of experts, what one token passes through
    counts as its feed-forward layer."""
    config = load_config(folder)
    text, parameters = config.get_text_config(), _outline(config, str(folder)).num_parameters()

    def size(*names: str, default: int) -> int:
        return next((found for name in names if (found := getattr(text, name, None))), default)

    hidden, heads = text.hidden_size, text.num_attention_heads
    feed_forward = size("moe_intermediate_size", "intermediate_size", default=4 * hidden)
    return Shape(
        parameters=parameters,
        active=parameters,
        hidden=hidden,
        feed_forward=feed_forward * size("num_experts_per_tok", default=1),
        layers=text.num_hidden_layers,
        heads=heads,
        kv_heads=size("num_key_value_heads", default=heads),
        head_dim=size("head_dim", default=hidden // heads),
    )


def adapter_parameters(lora: Lora, folder: Path) -> int:
    """Numbers of an adapter of the model in `folder`."""
    return _adapted(lora_config(lora), load_config(folder), "train.lora").get_nb_trainable_parameters()[0]


def check_targets(lora: Lora, base: PreTrainedConfig, key: str) -> None:
    """Raise InputError unless each of the target_modules under `key` of config.yaml is a layer that can be adapted."""
    _adapted(lora_config(lora), base, key)


def _adapted(config: PeftConfig, base: PreTrainedConfig, where: str) -> PeftModel:
    """A model of the configuration `base` with an adapter, on the meta device. Raises InputError that begins with
    `where` where one of its targets is no layer, or none that can be adapted."""
    outline = _outline(base, where)
    parts = {
        "target_modules": [name for name, _ in outline.named_modules()],
        "target_parameters": [name for name, _ in outline.named_parameters()],
    }
    for key, known in parts.items():
        targets = getattr(config, key, None) or ()
        # A text is a pattern. PEFT says if nothing matches it, or if it is neither.
        for target in targets if isinstance(targets, list | set | tuple) else ():
            if not any(f".{name}".endswith(f".{target}") for name in known):
                layers = {name.rpartition(".")[2] for name, m in outline.named_modules() if isinstance(m, nn.Linear)}
                raise InputError(
                    f"{where}: {key} names {target!r}, which the base model does not have; it has "
                    f"{', '.join(sorted(layers))}"
                )
    try:
        with torch.device("meta"), warnings.catch_warnings(action="ignore"):
            return get_peft_model(outline, config)
    except Exception as error:  # as in load_config
        raise InputError(f"{where}: the base model cannot be adapted so ({_said(error)})") from None
