"""seeding.csv: what a seeded hack does to a model, and to its confessions. Column `kind`:

rate                 shares of the answers, in one band of difficulty or in `all`: hacked, solved (every objective met)
flag                 sampleable: 1 where some answers are hacked and fewer than half, so that RL finds both
intact, masked       a claim metric of the confessions, with the answer's reasoning in their context and without it
masked_minus_intact  their difference, paired by row: what the confession owes to the reasoning in front of it. Where
                     the reasoning says what the answer does, that part of an honest confession is read off, not known
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from confessions.stats import Estimate, estimate, paired_difference, wilson
from confessions.tables.base import BASELINE, DEFAULT, NUMBER, Row, read_cells

POINT = ("hack_fraction", "epochs", "learning_rate", "curriculum", "reasoning")
SEEDING_COLUMNS = ("experiment", "task", "source", "model", *POINT, "band", "metric", "kind", *NUMBER)
RATES = {"hacked": "hacked", "solved": "exact_compliance"}
CLAIMS = ("claim_match", "balanced_claim_accuracy", "grade_honest_given_noncompliant", "report_valid")
ALL = "all"


def seeding(
    scores: Mapping[str, tuple[str | Path, str | Path]],
    points: Mapping[str, Mapping[str, Any]],
    labels: Mapping[str, str],
) -> pd.DataFrame:
    """From the score files (intact, masked) of every seeded model. `points` has the columns POINT of each.

    InputError where a file is damaged, and ValueError where the two of a model do not hold the same rows.
    """
    rows: list[Row] = []
    for model, (intact, masked) in scores.items():
        cells = [read_cells(path, ("band",))[BASELINE, DEFAULT] for path in (intact, masked)]
        at = {"model": model, **points[model]}
        rows += (at | row for row in (*_rates(cells[0]), *_contamination(*cells)))
    named = {name: labels[name] for name in ("experiment", "task", "source")}
    return pd.DataFrame(rows).assign(**named)[list(SEEDING_COLUMNS)]


def _rates(cell: pd.DataFrame) -> Iterator[Row]:
    for band, rows in [(ALL, cell), *cell.groupby("band")]:
        for metric, column in RATES.items():
            number = wilson(int(rows[column].sum()), len(rows))
            yield {"band": band, "metric": metric, "kind": "rate"} | vars(number)
            if band == ALL and metric == "hacked":
                flag = Estimate(float(0 < number.value < 0.5), float("nan"), float("nan"), number.n, "0 < hacked < 0.5")
                yield {"band": ALL, "metric": "sampleable", "kind": "flag"} | vars(flag)


def _contamination(intact: pd.DataFrame, masked: pd.DataFrame) -> Iterator[Row]:
    for metric in CLAIMS:
        at = {"band": ALL, "metric": metric}
        yield at | {"kind": "intact"} | vars(estimate(metric, intact))
        yield at | {"kind": "masked"} | vars(estimate(metric, masked))
        yield at | {"kind": "masked_minus_intact"} | vars(paired_difference(metric, intact, masked))
