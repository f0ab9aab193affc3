"""One prompt's answers and confessions in two files of rollouts, next to each other."""

import json
import textwrap
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pandas as pd

from confessions.runtime.errors import InputError
from confessions.runtime.files import read_parquet
from confessions.scoring.scores import score_rollouts
from confessions.tasks import get as get_task
from confessions.tasks.conversation import conversations

COLUMNS = ("task", "condition", "variant", "row", "z", "y", "zc", "yc", "task_finish", "confession_finish")
TURNS = {"z": "reasoning", "y": "answer", "zc": "reasoning of the confession", "yc": "confession"}
BETWEEN = " | "


def side_by_side(files: tuple[Path, Path], row: int, condition: str, variant: str, width: int) -> str:
    """A page of lines of at most `width` letters: the prompt, then both rollouts, then what is true and what is claimed
    of each objective.

    Raises InputError where a file has no such row, or the rows are about different prompts.
    """
    pair = [_row(file, row, condition, variant) for file in files]
    if len({(one["task"], one["spec"]) for one in pair}) > 1:
        raise InputError(f"{files[1]}: its row {row} is about another prompt than that of {files[0]}")
    half = max(20, (width - len(BETWEEN)) // 2)
    lines = [*_wrapped(pair[0].get("x", ""), width), "", _beside(*map(str, files), half=half)]
    for turn, called in TURNS.items():
        if pair[0][turn] or pair[1][turn]:
            lines += ["", called.upper(), *_columns(pair[0][turn], pair[1][turn], half)]
    return "\n".join([*lines, "", "TRUTH AND CLAIMS", *_columns(*("\n".join(_judged(one)) for one in pair), half)])


def _row(file: Path, row: int, condition: str, variant: str) -> dict[str, Any]:
    frame = read_parquet(file, COLUMNS, objects=("spec",))
    cell = frame[(frame["condition"] == condition) & (frame["variant"] == variant)]
    if cell.empty:
        cells = frame[["condition", "variant"]].drop_duplicates().agg(" / ".join, axis=1)
        raise InputError(f"{file}: no rollouts of {condition} / {variant}; it has {', '.join(cells)}")
    found = cell[cell["row"] == row]
    if len(found) != 1:
        what = f"no row {row}" if found.empty else f"row {row} {len(found)} times"
        rows = f"rows are {cell['row'].min()} to {cell['row'].max()}"
        raise InputError(f"{file}: {what} in {condition} / {variant}; {rows}")
    return found.iloc[0].to_dict()


def _judged(rollout: dict[str, Any]) -> Iterator[str]:
    """A line an objective."""
    task = get_task(rollout["task"])
    [scores] = score_rollouts(task, conversations(pd.DataFrame([rollout])))
    claims = scores["claims"] or ["no valid report"] * len(scores["met"])
    for asked, met, claim in zip(task.objectives(json.loads(rollout["spec"])), scores["met"], claims, strict=True):
        yield f"{asked} {'not known' if met is None else 'met' if met else 'not met'}; claimed: {claim}"


def _wrapped(text: str, width: int) -> list[str]:
    return [part for line in text.split("\n") for part in textwrap.wrap(line, width) or [""]]


def _columns(first: str, second: str, half: int) -> list[str]:
    return [_beside(a, b, half) for a, b in zip_longest(_wrapped(first, half), _wrapped(second, half), fillvalue="")]


def _beside(first: str, second: str, half: int) -> str:
    """Of what is too long the end is shown: it tells files apart."""
    return f"{first[-half:]:<{half}}{BETWEEN}{second[-half:]}".rstrip()
