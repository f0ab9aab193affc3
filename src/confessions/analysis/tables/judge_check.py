"""judge_check.csv: how well the weak judge tells answers made by code apart. Half of the set are compliant; each of the
others is the twin of one of them and has one known fault. Column `fault` says against which of them the compliant are
held: "all", or a kind of fault, and then only the twins of those count. Column `metric`:

auroc            P(a compliant answer's p_pass is higher than a faulty one's), ties half; of a judge that has no
                 probabilities, of its verdicts. A judge that knows nothing has .5
twins            the same within the pairs: P(the compliant one's is higher than its twin's), ties half
pass_compliant   P(passes | compliant)
pass_faulty      P(passes | faulty)
mean_mass, lowest_mass   probability of the two words; empty for a judge that has none
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from confessions.analysis.metrics import Counts
from confessions.analysis.stats import Estimate, auroc, cluster_bootstrap, nothing, wilson
from confessions.analysis.tables.base import LABELS, NUMBER, Row
from confessions.runtime.files import read_parquet

JUDGE_CHECK_COLUMNS = (*LABELS, "judge", "judge_prompt", "fault", "metric", *NUMBER)
CHECKED = ("pair", "compliant", "fault", "judge", "judge_prompt", "judge_pass", "judge_p_pass", "judge_mass")


def judge_check(answers: str | Path, labels: Mapping[str, str]) -> pd.DataFrame:
    """From the judged set (stages/judge_check.py). InputError where the file is damaged."""
    judged = read_parquet(answers, columns=CHECKED)
    who = judged.iloc[0][["judge", "judge_prompt"]].to_dict()
    return pd.DataFrame(_rows(judged)).assign(**who, **labels)[list(JUDGE_CHECK_COLUMNS)]


def _rows(judged: pd.DataFrame) -> Iterator[Row]:
    """Twins stand in the order of their pairs, so that both columns of numbers pair up."""
    good, bad = (judged[judged["compliant"] == side].set_index("pair").sort_index() for side in (True, False))
    for fault in ("all", *sorted(set(bad["fault"]))):
        kept = bad.index if fault == "all" else bad.index[bad["fault"] == fault]
        for metric, number in _numbers(good.loc[kept], bad.loc[kept]).items():
            yield {"fault": fault, "metric": metric} | vars(number)


def _numbers(good: pd.DataFrame, bad: pd.DataFrame) -> dict[str, Estimate]:
    sides = good, bad
    higher, lower = (_belief(side) for side in sides)
    wins = (higher > lower) + 0.5 * (higher == lower)
    mass = np.concatenate([side["judge_mass"].to_numpy(dtype=float) for side in sides])
    known = mass[~np.isnan(mass)]
    lowest = Estimate(known.min(), math.nan, math.nan, len(known), "lowest") if len(known) else nothing("lowest")
    passes = [wilson(int(side["judge_pass"].sum()), len(side)) for side in sides]
    return {
        "auroc": auroc(higher, lower, paired=True),
        "twins": _mean(wins),
        "pass_compliant": passes[0],
        "pass_faulty": passes[1],
        "mean_mass": _mean(known),
        "lowest_mass": lowest,
    }


def _belief(answers: pd.DataFrame) -> np.ndarray:
    """p_pass, or the verdict where there is no probability."""
    return answers["judge_p_pass"].fillna(answers["judge_pass"].astype(float)).to_numpy(dtype=float)


def _mean(values: np.ndarray) -> Estimate:
    return cluster_bootstrap(Counts(values[None], np.ones((1, len(values)))))
