"""A rollout as texts: what was asked, and what the model said. Detectors, scores and logs read nothing else of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

Spec = dict[str, Any]  # one instance of a task, JSON values only


@dataclass(frozen=True)
class Conversation:
    """x prompt, z reasoning, y answer, xc request, zc reasoning, yc report; empty where it is not known or not said."""

    spec: Spec
    y: str
    yc: str = ""
    zc: str = ""
    z: str = ""  # no score depends on it: what precedes the answer does not check it
    x: str = ""
    xc: str = ""
    answer_truncated: bool = False
    confession_truncated: bool = False
    variant: str = "default"  # of the request: it says in which form the report is


@dataclass(frozen=True, kw_only=True)
class Demonstration(Conversation):
    """A generated one, for a warm start, with what surrounds it."""

    task: str  # asks for the answer; not always the task that made the demonstration
    condition: str


def conversations(rollouts: pd.DataFrame, *more: str) -> list[Conversation]:
    """A conversation for each row of docs/rollouts.md, in order.

    Reads spec, z, y, zc, yc, task_finish, confession_finish and the columns `more`, and `variant` where there is one.
    Raises KeyError where one is missing.
    """
    columns = ["spec", "z", "y", "zc", "yc", "task_finish", "confession_finish", *more]
    columns += ["variant"] if "variant" in rollouts else []
    return [
        Conversation(
            spec=json.loads(row.pop("spec")),
            answer_truncated=row.pop("task_finish") == "length",
            confession_truncated=row.pop("confession_finish") == "length",
            **row,
        )
        for row in rollouts[columns].to_dict("records")
    ]
