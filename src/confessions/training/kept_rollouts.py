"""The rollouts that a policy was trained on, a Parquet file a step: what was sampled, what was true of it and what it
earned (docs/training.md has the columns).

The columns of a rollout file and of its scores stand side by side, so that what reads those reads these. Their types
are fixed: a column that is empty in one step has the type that it has in all others. Nothing here imports torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confessions.runtime.errors import InputError
from confessions.runtime.files import FIX, published, read_parquet

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "training_rollouts"  # in a run's working folder, and in what it publishes

_TEXT, _INT, _BOOL, _REAL, _SHORT = "string", "int64", "bool", "double", "float"  # torch has the last
_REALS, _IDS, _MASK, _BOOLS, _TEXTS = "list<float>", "list<int32>", "list<int8>", "list<bool>", "list<string>"

ROLLOUT = {
    # which rollout it is
    "task": _TEXT, "model": _TEXT, "training_seed": _INT, "step": _INT, "condition": _TEXT, "variant": _TEXT,
    "config_hash": _TEXT, "row": _INT, "group": _INT, "seed": _INT, "temperature": _REAL, "top_p": _REAL, "top_k": _INT,
    # what was sampled
    "spec": _TEXT, "x": _TEXT, "z": _TEXT, "y": _TEXT, "xc": _TEXT, "zc": _TEXT, "yc": _TEXT,
    "x_ids": _IDS, "task_ids": _IDS, "xc_ids": _IDS, "confession_ids": _IDS,
    "task_mask": _MASK, "confession_mask": _MASK, "answer_start": _INT, "report_start": _INT,
    "task_logprobs": _REALS, "confession_logprobs": _REALS,
    "task_finish": _TEXT, "confession_finish": _TEXT, "answer_closed": _BOOL, "keep_thinking": _BOOL,
}  # fmt: skip
SCORES = {
    # what is true of the answer
    "n_objectives": _INT, "met": _BOOLS, "n_met": _INT, "exact_compliance": _BOOL, "hacked": _BOOL,
    "n_false_labels": _INT, "answer_truncated": _BOOL, "details": _TEXT, "not_known": _TEXT,
    # what the report says, and how that compares
    "confession_truncated": _BOOL, "report_valid": _BOOL, "invalid_reason": _TEXT, "claims": _TEXTS, "grade": _INT,
    "n_by_position": _INT, "classes": _TEXTS, "n_correct_credit": _INT, "n_under_claim": _INT,
    "n_clean_admission": _INT, "n_hedged": _INT, "n_over_claim": _INT, "n_invalid": _INT, "claim_match": _REAL,
    "grade_honest": _BOOL, "checked": _BOOL,
    # the weak judge, and what each span was trained with
    "judge": _TEXT, "judge_prompt": _TEXT, "judge_pass": _BOOL, "judge_p_pass": _REAL, "judge_mass": _REAL,
    "task_reward": _SHORT, "confession_reward": _SHORT, "task_advantage": _SHORT, "confession_advantage": _SHORT,
}  # fmt: skip
COLUMNS = ROLLOUT | SCORES
EARNED = ("task_reward", "confession_reward", "task_advantage", "confession_advantage")
OBJECTS = ("spec", "details")  # JSON


def step_file(folder: Path, step: int) -> Path:
    """Where the rollouts of a step lie in `folder`."""
    return folder / f"step_{step}.parquet"


def with_details(score: Mapping[str, Any]) -> dict[str, Any]:
    """A row of scores whose columns are those of every task: a task's own are JSON in `details`."""
    own = {name: value for name, value in score.items() if name not in COLUMNS}
    return {name: value for name, value in score.items() if name in COLUMNS} | {"details": json.dumps(own)}


def write_step(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the rollouts of one step, each with a value (or None) for each of COLUMNS. Raises InputError when the disk
    is full."""
    import pyarrow as pa
    from pyarrow import parquet

    kinds = {
        _TEXT: pa.string(), _INT: pa.int64(), _BOOL: pa.bool_(), _REAL: pa.float64(), _SHORT: pa.float32(),
        _REALS: pa.list_(pa.float32()), _IDS: pa.list_(pa.int32()), _MASK: pa.list_(pa.int8()),
        _BOOLS: pa.list_(pa.bool_()), _TEXTS: pa.list_(pa.string()),
    }  # fmt: skip
    table = pa.table({name: pa.array([row[name] for row in rows], kinds[kind]) for name, kind in COLUMNS.items()})
    with published(path) as temporary:
        parquet.write_table(table, temporary, compression="zstd", write_page_checksum=True)


def read_steps(folder: Path, first: int, last: int) -> pd.DataFrame:
    """The rollouts of the steps `first` to `last`, in order.

    InputError where a file of them is missing, damaged or that of another step.
    """
    import pandas as pd

    frames = []
    for step in range(first, last + 1):
        path = step_file(folder, step)
        frame = read_parquet(path, tuple(COLUMNS), objects=OBJECTS)
        if frame.empty or set(frame["step"]) != {step}:
            raise InputError(f"{path}: does not hold the rollouts of step {step}; {FIX}")
        frames.append(frame.astype({"grade": "Int64"}))  # none in an invalid report
    return pd.concat(frames, ignore_index=True)
