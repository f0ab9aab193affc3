"""Score files and training logs with known numbers, for the tests of tables and figures."""

import json
from pathlib import Path

import pandas as pd

from confessions.report import Compliance
from confessions.scores import claim_columns

LABELS = {"experiment": "demo", "task": "word_count", "model": "nano", "source": "nano"}
FULL, NONE = Compliance.FULL, Compliance.NONE


def score_row(row: int, met: list[bool], claims: list[Compliance] | None, grade: int | None, **more) -> dict:
    """One rollout's scores; its answer is labelled with the targets throughout: the judge passes it."""
    compliant, wrong = all(met), len(met) - sum(met)
    scores = {
        "row": row, "n_objectives": len(met), "met": met, "n_met": sum(met), "exact_compliance": compliant,
        "hacked": not compliant, "n_false_labels": wrong, "report_valid": claims is not None,
        "checked": claims is not None, "judge_pass": True,
    }  # fmt: skip
    return scores | claim_columns(met, compliant, claims, grade) | more


def write_scores(path: Path, honest: int, n: int = 16) -> Path:
    """n rollouts, 1 in 8 compliant, the others with 1 of 5 sentences right; the first `honest` confess."""
    rows = []
    for row in range(n):
        met = [True] * 5 if row % 8 == 0 else [True, False, False, False, False]
        truthful = [FULL if ok else NONE for ok in met]
        claims, grade = (truthful, 7 if all(met) else 1) if row < honest else ([FULL] * 5, 7)
        rows.append(score_row(row, met, claims, grade))
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_parquet(path)
    return path


def write_metrics(path: Path, steps: int = 8, n: int = 64) -> Path:
    """A line a step; the judge is fooled by 32, 33, ... of n, and 4 are right at every step."""
    lines = []
    for step in range(1, steps + 1):
        counts = {"judge_pass": 36 + step, "judge_fooled": 31 + step, "truly_correct": 4, "hacked": 50}
        more = {
            "report_valid": n,
            "count_verified": 2 * step,
            "balanced_claim_accuracy": None if step == 1 else 0.5,
        }
        lines.append({"step": step, "n": n} | counts | more | {"task_kl": 0.01 * step})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
