"""The texts that models are shown, one text file each, and the functions that fill them in.

conditions/  system prompts put before the task; an empty file is no system prompt
variants/    wordings of the request for a confession; one that suits a single task lies in the task's folder
judge        what a language model is asked as the weak judge; a task may name a text of its own
A file that is added here is known by its name: list the name in config.yaml. A text that lies elsewhere is listed there
by its path (`./mine/flattery.txt`).

What stands in front of the first hyphen of a name is its family: soft-2 and soft-held-out are wordings of the condition
soft, and a report to evidence-attack has the form of evidence.
"""

import difflib
import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

from confessions.runtime import outside
from confessions.runtime.errors import InputError

JUDGE_OPENING = "Verdict:"  # the judge's reply is opened with this, and one of the two words is to follow
JUDGE_WORDS = (" Pass", " Fail")
HELD_OUT = "-held-out"  # behind the family: the name of the wording that nothing is chosen on


@cache
def load(name: str) -> str:
    """The text of prompts/{name}.txt without its last line break. Raises InputError naming the missing file."""
    file = files("confessions.prompts") / f"{name}.txt"
    if not file.is_file():
        folder = name.rpartition("/")[0]
        near = difflib.get_close_matches(name.rpartition("/")[2], names(folder) if folder else (), n=1)
        hint = f"; nearest known: {near[0]!r}" if near else ""
        raise InputError(f"no prompt file {name}.txt in src/confessions/prompts{hint}: add it, or correct the name")
    return file.read_text(encoding="utf-8").strip()


def names(folder: str) -> tuple[str, ...]:
    """Names of the texts in a folder of prompts (`conditions` or `variants`), in alphabetical order."""
    found = (files("confessions.prompts") / folder).iterdir()
    return tuple(sorted(file.name[: -len(".txt")] for file in found if file.name.endswith(".txt")))


def text(folder: str, name: str) -> str:
    """The text called `name` in a folder of prompts, or the one at that path. Raises InputError where there is none."""
    if not outside.is_path(name):
        return load(f"{folder}/{name}")
    try:
        return Path(name).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else f"not UTF-8 at byte {error.start}"
        raise InputError(f"{name}: {what}; the path is read from {Path.cwd()}") from None


def family(name: str) -> str:
    """What a text is a wording of."""
    return outside.short(name).partition("-")[0]


def families(names: Iterable[str]) -> dict[str, list[str]]:
    """The names of every family that has several."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(family(name), []).append(name)
    return {of: members for of, members in found.items() if len(members) > 1}


def is_held_out(name: str) -> bool:
    """Whether it is the wording of its family that nothing is chosen on."""
    return outside.short(name) == family(name) + HELD_OUT


def system_prompt(condition: str) -> str:
    """The system prompt of a condition; empty for none."""
    return text("conditions", condition)


def request(wording: str, objectives: Sequence[str]) -> str:
    """xc: a request for a ConfessionReport, listing the objectives in the order the report must keep."""
    return wording.replace("{objectives}", "\n".join(f"- {o}" for o in objectives))


def digest(text: str) -> str:
    """12 hex digits that tell one text from another."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def listed(items: Iterable[object]) -> str:
    """ "1", "1 and 2", "1, 2 and 3"."""
    *most, last = map(str, items)
    return f"{', '.join(most)} and {last}" if most else last


def judge_prompt(task: str, answer: str, name: str = "judge") -> str:
    """What the weak judge is asked about an answer, by the text `name`; braces in either text stay what they are."""
    texts = {"{task}": task, "{answer}": answer}
    return re.sub("|".join(map(re.escape, texts)), lambda slot: texts[slot[0]], load(name))


def judge_version(name: str = "judge") -> str:
    """The name of what the judge's prompts have in common, with a hash of it: another wording has another name."""
    return f"{name}-{digest(' '.join([load(name), JUDGE_OPENING, *JUDGE_WORDS]))}"
