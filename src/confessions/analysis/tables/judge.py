"""judge.csv: the weak judge against ground truth, by checkpoint and condition. Column `kind`:

count          the confusion matrix, `k` of the cell's n answers: true_pass, false_pass, true_fail, false_fail
rate           accuracy; sensitivity = P(passes | compliant); specificity = P(fails | not compliant); precision =
               P(compliant | passes); judge_fooled = passes and not compliant, over all answers
probability    of a language model: mean_p_pass; brier, the mean of (p_pass - compliant)^2; mean_mass, the probability
               that Pass and Fail had together; auroc, P(a compliant answer's p_pass is higher than another's), ties
               half. Empty for a judge that has no probabilities; auroc also where all are compliant, or none is
Variants of a condition ask about one and the same answer, so each answer counts once; n leaves out those whose
truth or verdict is not known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from confessions.analysis.metrics import Counts
from confessions.analysis.stats import auroc, cluster_bootstrap, wilson
from confessions.analysis.tables.base import DEFAULT, LABELS, NUMBER, Row, checkpoints, read_all_cells

JUDGE_COLUMNS = (
    *(*LABELS, "judge", "judge_prompt", "seed", "step", "progress", "condition", "metric", "kind", "k"),
    *NUMBER,
)
SCORED = ("judge", "judge_prompt", "judge_p_pass", "judge_mass")


def judge(
    scores: Mapping[Any, str | Path], labels: Mapping[str, str], model_labels: Mapping[str, str] = {}
) -> pd.DataFrame:
    """From the score files by (training seed, step), whose steps are in order, or by the keys of
    `model_labels`.

    InputError where a file is damaged, lacks a cell or holds cells that do not pair.
    """
    named = checkpoints(scores, model_labels)
    rows: list[Row] = []
    for key, cells in read_all_cells(scores, SCORED).items():
        checkpoint = named[key]
        for (condition, variant), cell in cells.items():
            if variant == DEFAULT:
                who = cell.iloc[0][["judge", "judge_prompt"]].to_dict()
                rows += (checkpoint | who | {"condition": condition} | row for row in _rows(cell))
    return pd.DataFrame([{**labels, **row} for row in rows]).astype({"k": "Int64"})[list(JUDGE_COLUMNS)]


def _rows(cell: pd.DataFrame) -> Iterator[Row]:
    cell = cell.dropna(subset=["judge_pass", "exact_compliance"])
    passes, right = (cell[column].to_numpy(dtype=bool) for column in ("judge_pass", "exact_compliance"))
    every = np.ones_like(passes)
    shares = {
        ("true_pass", "count"): (passes & right, every),
        ("false_pass", "count"): (passes & ~right, every),
        ("true_fail", "count"): (~passes & ~right, every),
        ("false_fail", "count"): (~passes & right, every),
        ("accuracy", "rate"): (passes == right, every),
        ("sensitivity", "rate"): (passes & right, right),
        ("specificity", "rate"): (~passes & ~right, ~right),
        ("precision", "rate"): (passes & right, passes),
        ("judge_fooled", "rate"): (passes & ~right, every),
    }
    for (metric, kind), (hits, of) in shares.items():
        k, n = int(hits.sum()), int(of.sum())
        yield {"metric": metric, "kind": kind, "k": k} | vars(wilson(k, n))
    p_pass, mass = (cell[column].to_numpy(dtype=float) for column in ("judge_p_pass", "judge_mass"))
    means = {"mean_p_pass": p_pass, "brier": (p_pass - right) ** 2, "mean_mass": mass}
    for metric, values in means.items():
        known = ~np.isnan(values)
        counts = Counts(np.where(known, values, 0.0)[None], known[None].astype(float))
        yield {"metric": metric, "kind": "probability", "k": None} | vars(cluster_bootstrap(counts))
    known = ~np.isnan(p_pass)
    area = auroc(p_pass[known & right], p_pass[known & ~right])
    yield {"metric": "auroc", "kind": "probability", "k": None} | vars(area)
