"""Where a model's weights come from, made into a folder that transformers loads."""

import os
import shutil
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from confessions.errors import InputError, first_line


def build(source: Mapping[str, Any], out: Path) -> None:
    """Make the model folder `out` for one `source` block of config.yaml; it appears whole or not at all.

    nano: the weights that ship in the package. folder: a link to it. hub: huggingface_hub's snapshot of the pinned
    revision. Raises InputError when the source is not there.
    """
    maker = {"nano": _unpack_nano, "folder": _link_folder, "hub": _download}[source["kind"]]
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        maker(source, temporary)
        if out.is_dir() and not out.is_symlink():
            shutil.rmtree(out)
        os.replace(temporary, out)
    finally:
        if temporary.is_symlink():
            temporary.unlink()
        shutil.rmtree(temporary, ignore_errors=True)


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
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(source["repo"], revision=source["revision"])
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"{source['repo']}@{source['revision'][:12]}: cannot be had from the hub ({first_line(error)}); "
            f"check the name, the network and HF_TOKEN, "
            "or use a local folder"
        ) from None
    out.symlink_to(folder, target_is_directory=True)
