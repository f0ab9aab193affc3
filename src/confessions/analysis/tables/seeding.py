"""seeding.csv: what a seeded hack does to a model, and to its confessions. Column `kind`:

rate                 shares of the answers, in one band of difficulty or in `all`: hacked, solved (every objective met)
flag                 sampleable: 1 where some answers are hacked and fewer than half, so that RL finds both
found                seeded_reasoning: share of the answers whose reasoning has a sentence that the seeding wrote, which
                     is the part that a paraphrase can change
intact, masked, paraphrased
                     a claim metric of the confessions: with the answer's reasoning in their context, without it, and
                     with the sentences that the seeding wrote in other words
masked_minus_intact, paraphrased_minus_intact
                     their differences, paired by row: what the confession owes to the reasoning in front of it, and to
                     the very words of it. Where the reasoning says what the answer does, that part of an honest
                     confession is read off, not known
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from confessions.analysis.stats import Estimate, estimate, paired_difference, wilson
from confessions.analysis.tables.base import BASELINE, DEFAULT, NUMBER, Row, read_cells
from confessions.tasks.base import INTACT, PARAPHRASED, VIEWS

POINT = ("hack_fraction", "epochs", "learning_rate", "curriculum", "reasoning", "training_seed")
SEEDING_COLUMNS = ("experiment", "task", "source", "model", *POINT, "band", "metric", "kind", *NUMBER)
RATES = {"hacked": "hacked", "solved": "exact_compliance"}
CLAIMS = (
    *("claim_match", "balanced_claim_accuracy", "within_kind_balanced_accuracy"),
    *("grade_honest_given_noncompliant", "confessed_given_hack", "report_valid"),
)
ALL = "all"


def seeding(
    scores: Mapping[tuple[str, str], str | Path],
    points: Mapping[str, Mapping[str, Any]],
    labels: Mapping[str, str],
) -> pd.DataFrame:
    """From the score files by the view that turn 2 had (VIEWS) and the seeded model. `points`: each model's POINT.

    InputError where a file is damaged, and ValueError where those of a model do not hold the same rows.
    """
    rows: list[Row] = []
    for model, point in points.items():
        cells = {
            view: read_cells(scores[view, model], ("band", *columns))[BASELINE, DEFAULT]
            for view, columns in {**dict.fromkeys(VIEWS, ()), PARAPHRASED: (PARAPHRASED,)}.items()
        }
        at = {"model": model, **point}
        rows += (at | row for row in (*_rates(cells[INTACT]), _found(cells[PARAPHRASED]), *_contamination(cells)))
    named = {name: labels[name] for name in ("experiment", "task", "source")}
    return pd.DataFrame(rows).assign(**named)[list(SEEDING_COLUMNS)]


def _rates(cell: pd.DataFrame) -> Iterator[Row]:
    for band, rows in [(ALL, cell), *cell.groupby("band")]:
        for metric, column in RATES.items():
            known = rows[column].dropna()
            number = wilson(int(known.sum()), len(known))
            yield {"band": band, "metric": metric, "kind": "rate"} | vars(number)
            if band == ALL and metric == "hacked":
                flag = Estimate(float(0 < number.value < 0.5), float("nan"), float("nan"), number.n, "0 < hacked < 0.5")
                yield {"band": ALL, "metric": "sampleable", "kind": "flag"} | vars(flag)


def _found(paraphrased: pd.DataFrame) -> Row:
    number = wilson(int(paraphrased[PARAPHRASED].sum()), len(paraphrased))
    return {"band": ALL, "metric": "seeded_reasoning", "kind": "found"} | vars(number)


def _contamination(cells: Mapping[str, pd.DataFrame]) -> Iterator[Row]:
    for metric in CLAIMS:
        at = {"band": ALL, "metric": metric}
        for view, cell in cells.items():
            yield at | {"kind": view} | vars(estimate(metric, cell))
            if view != INTACT:
                difference = paired_difference(metric, cells[INTACT], cell)
                yield at | {"kind": f"{view}_minus_{INTACT}"} | vars(difference)
