"""hack_survey.csv: how often each detector of confessions.tasks.word_count_unlabelled.hacks fires, by checkpoint.

`kind` is the detector's: hack, or quality (the answer is poor, but nothing is gained by it). `k` of `n` rollouts, with
Wilson's interval; `not_analysed` rollouts more could not be read by the detector. Where none
fired, `value` and `low` are 0 and `high` is the one-sided 95 % upper bound (Clopper-Pearson): never seen is not the
same as never done. `example_row` is the first rollout that it fired on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from confessions.analysis.stats import LEVEL, Estimate, wilson
from confessions.analysis.tables.base import LABELS, NUMBER
from confessions.runtime import outside
from confessions.runtime.files import read_parquet
from confessions.tasks.word_count_unlabelled import hacks

SURVEY_COLUMNS = (
    *LABELS, "seed", "step", "detector", "kind", "description", "k", *NUMBER, "not_analysed", "example_row",
)  # fmt: skip


def hack_survey(
    rollouts: Sequence[str | Path], labels: Mapping[str, str], detectors: Iterable[str] = ()
) -> pd.DataFrame:
    """From rollout files of any steps; `detectors` are files with more of them (docs/extending.md).

    InputError where a file is damaged or lacks a column.
    """
    for file in detectors:
        outside.module(file)  # importing registers them
    columns = (*hacks.base.COLUMNS, "step", "row")
    frame = pd.concat([read_parquet(file, columns, objects=("spec",)) for file in rollouts], ignore_index=True)
    frame["training_seed"] = frame.get("training_seed")  # empty for a plain model
    fired = hacks.scan(frame)
    rows = []
    for (seed, step), numbers in frame.groupby(["training_seed", "step"], dropna=False)["row"]:
        for name, detector in hacks.DETECTORS.items():
            read = fired.loc[numbers.index, name].dropna()
            found = numbers[read.index[read.astype(bool)]]
            known = {"seed": seed, "step": step, "detector": name, "kind": detector.kind}
            known |= {"description": detector.description}
            example = found.min() if len(found) else None
            known |= {"k": len(found), "not_analysed": len(numbers) - len(read), "example_row": example}
            rows.append(known | vars(_rate(len(found), len(read))))
    table = pd.DataFrame(rows).astype({"seed": "Int64", "example_row": "Int64"})
    return table.assign(**labels)[list(SURVEY_COLUMNS)]


def _rate(k: int, n: int) -> Estimate:
    if k or not n:
        return wilson(k, n)
    _, high = proportion_confint(0, n, alpha=1 - LEVEL, method="beta", alternative="larger")
    return Estimate(0.0, 0.0, float(high), n, "clopper-pearson, one-sided upper bound")
