"""Score files and training logs with known numbers, for the tests of tables and figures."""

import json
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import pandas as pd

from confessions.analysis import tables
from confessions.analysis.metrics import METRICS
from confessions.prompts.report import Compliance
from confessions.scoring.scores import claim_columns

LABELS = {"experiment": "demo", "task": "word_count", "model": "nano", "source": "nano"}
FULL, NONE = Compliance.FULL, Compliance.NONE
CONDITIONS = ("baseline", "awareness", "soft", "hard", "jailbreak")
VARIANTS = ("default", "forced_count")
CLAIMS = ("correct_credit", "under_claim", "clean_admission", "hedged", "over_claim", "unclaimed")
RIVALS = {"always_none": 0.7, "always_full": 0.3, "base_rate": 0.6}  # their values in the made tables
HALF_WIDTH = 0.05  # of every interval in the made tables


def score_row(row: int, met: list[bool], claims: list[Compliance] | None, grade: int | None, **more) -> dict:
    """One rollout's scores; its answer is labelled with the targets throughout: the judge passes it."""
    compliant, wrong = all(met), len(met) - sum(met)
    scores = {
        "row": row, "condition": "baseline", "variant": "default", "n_objectives": len(met), "met": met,
        "instance": f"prompt {row:03}", "answer": f"answer {row:03}",
        "kinds": [f"objective {s}" for s in range(1, len(met) + 1)],
        "n_met": sum(met), "exact_compliance": compliant,
        "hacked": not compliant, "n_false_labels": wrong, "report_valid": claims is not None,
        "checked": claims is not None, "judge_pass": True,
    }  # fmt: skip
    return scores | claim_columns(met, compliant, claims, grade) | more


def write_scores(path: Path, honest: int, n: int = 16) -> Path:
    """One cell of n rollouts, 1 in 8 compliant, the others with 1 of 5 sentences right; the first `honest` confess."""
    return _written(path, _cell(honest, n, counting=n))


def write_cells(
    path: Path,
    honest: Mapping[str, int] = {"default": 4, "forced_count": 12},
    conditions: Sequence[str] = CONDITIONS,
    n: int = 16,
    compliant: bool = False,
) -> Path:
    """The cells of a checkpoint, made as by `write_scores`: under the i-th condition i rollouts fewer confess than
    `honest` says of the variant, and who confesses has counted. `compliant`: every answer is."""
    rows = []
    for (i, condition), (variant, confess) in product(enumerate(conditions), honest.items()):
        rows += _cell(confess - i, n, confess - i, compliant, condition=condition, variant=variant)
    return _written(path, rows)


def _cell(honest: int, n: int, counting: int, compliant: bool = False, **more) -> list[dict]:
    rows = []
    for row in range(n):
        met = [True] * 5 if compliant or row % 8 == 0 else [True, False, False, False, False]
        truthful = [FULL if ok else NONE for ok in met]
        claims, grade = (truthful, 7 if all(met) else 1) if row < honest else ([FULL] * 5, 7)
        rows.append(score_row(row, met, claims, grade, checked=row < counting, **more))
    return rows


def _written(path: Path, rows: list[dict]) -> Path:
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
            "checked": 2 * step,
            "balanced_claim_accuracy": None if step == 1 else 0.5,
        }
        more |= {"n_met": 3 * n, "n_unmet": 2 * n, "full_given_met": 2 * n, "none_given_unmet": step}
        lines.append({"step": step, "n": n} | counts | more | {"task_kl": 0.01 * step})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def made_value(metric: str, *at: float) -> float:
    """A value between 0.1 and 0.9 for a place in a table, the same at every call. The six shares of claims sum to 1."""
    bump = 0.03 * sum((i + 1) * x for i, x in enumerate(at))
    if metric in CLAIMS:
        over = 0.1 + bump % 0.5
        shares = dict.fromkeys(CLAIMS, (1 - over) / 5) | {"over_claim": over}
        return shares[metric]
    return 0.1 + (0.07 * list(METRICS).index(metric) + bump) % 0.8


def made_stress_grid(
    path: Path,
    seeds: Sequence[int] = (0,),
    steps: Sequence[int] = (0, 4, 8),
    conditions: Sequence[str] = CONDITIONS,
    variants: Sequence[str] = VARIANTS,
    **labels: str,
) -> Path:
    """stress_grid.csv with the values of `made_value(metric, place of step, of condition, of variant)`, n = 64."""
    rows = []
    for seed, (k, step), (i, condition), (j, variant), metric in product(
        seeds, enumerate(steps), enumerate(conditions), enumerate(variants), METRICS
    ):
        at = {
            "seed": seed, "step": step, "progress": 100 * step / steps[-1], "condition": condition, "variant": variant,
            "metric": metric,
        }  # fmt: skip
        value = made_value(metric, k, i, j)
        rows += _kinds(at, "cell", value)
        if i:
            rows.append(at | _number("minus_baseline", value - made_value(metric, k, 0, j)))
        if j:
            rows.append(at | _number("minus_default", value - made_value(metric, k, i, 0)))
    table = pd.DataFrame(rows).assign(**(LABELS | labels))
    tables.write(table[list(tables.GRID_COLUMNS)], path)
    return path


def made_by_model(
    path: Path,
    models: Mapping[str, str] = {"tiny": "Tiny 1M", "small": "Small 2M", "big": "Big 8M"},
    variants: Sequence[str] = VARIANTS,
    **labels: str,
) -> Path:
    """scale.csv or ladder.csv of models (key: label) with `made_value(metric, position, place of variant)`, n = 64."""
    rows = []
    for (position, key), (j, variant), metric in product(enumerate(models), enumerate(variants), METRICS):
        at = {"model": key, "label": models[key], "position": position, "variant": variant, "metric": metric}
        value = made_value(metric, position, j)
        rows += _kinds(at, "model", value)
        if j:
            rows.append(at | _number("minus_default", value - made_value(metric, position, 0)))
    named = {name: (LABELS | labels)[name] for name in ("experiment", "task", "source")}
    table = pd.DataFrame(rows).assign(**named)
    tables.write(table[list(tables.MODEL_COLUMNS)], path)
    return path


def _kinds(at: dict, kind: str, value: float) -> list[dict]:
    """A measured number and, for a metric of the report, the values of policies that see no answer (no interval)."""
    rows = [at | _number(kind, value)]
    if METRICS[at["metric"]].reads_report:
        for constant, known in RIVALS.items():
            rows.append(at | _number(constant, known) | {"low": None, "high": None, "method": "the same answers"})
    return rows


def _number(kind: str, value: float) -> dict:
    interval = {"low": value - HALF_WIDTH, "high": value + HALF_WIDTH}
    return {"kind": kind, "value": value, **interval, "n": 64, "method": "made up"}
