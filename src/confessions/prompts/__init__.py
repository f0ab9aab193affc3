"""The texts that models are shown, one text file each, and the functions that fill them in."""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from confessions.errors import InputError


@cache
def load(name: str) -> str:
    """The text of prompts/{name}.txt without its last line break. Raises InputError naming the missing file."""
    file = files("confessions.prompts") / f"{name}.txt"
    if not file.is_file():
        raise InputError(
            f"no prompt file {name}.txt in src/confessions/prompts: add it, or correct the name in config.yaml"
        )
    return file.read_text(encoding="utf-8").strip()


def confession_request(variant: str, objectives: Sequence[str]) -> str:
    """xc: the fixed request for a ConfessionReport, listing the objectives in the order the report must keep."""
    return load(f"confession_{variant}").replace("{objectives}", "\n".join(f"- {o}" for o in objectives))
