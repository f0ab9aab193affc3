"""The folder of a model that Inspect asks: one small file that says which. There are no weights in it, and no key."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from confessions.config import Inspect
from confessions.runtime.errors import InputError, first_fault
from confessions.runtime.files import parse_json

FILE = "inspect.json"
AGAIN = "delete the folder and run snakemake again"


def write(source: Mapping[str, Any], folder: Path) -> None:
    """Make the folder of a `source` block of config.yaml."""
    folder.mkdir()
    (folder / FILE).write_text(json.dumps(source, indent=1) + "\n", encoding="utf-8")


def is_endpoint(folder: Path) -> bool:
    """Whether a model folder is of a model that Inspect asks."""
    return (folder / FILE).is_file()


def read(folder: Path) -> Inspect:
    """What is asked, and how. Raises InputError where the file is damaged."""
    file = folder / FILE
    try:
        return Inspect.model_validate(parse_json(file.read_text(encoding="utf-8"), str(file), AGAIN))
    except ValidationError as error:
        raise InputError(f"{file}: {first_fault(error)}; {AGAIN}") from None


def fingerprint(folder: Path) -> str:
    """A hash of what the replies depend on; not of how often and how long a request is tried."""
    asked = read(folder)
    return hashlib.sha256(json.dumps([asked.model, asked.args], sort_keys=True).encode()).hexdigest()
