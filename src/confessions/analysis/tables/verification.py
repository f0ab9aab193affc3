"""verification.csv: are claims right because the model checked? Every cell of the policy, and every plain model.

cell                    checked: share of rollouts that really check the answer
verified, unverified    a claim metric over the rollouts that do, and over those that do not
difference              verified minus unverified; not paired, and the rollouts chose their side themselves
removed                 of another request than the default one (`variant`), such as one that demands the check:
                        1 - (its / default's), the share of the default's incorrect claims that are gone, about the
                        same answers; negative where there are more
`incorrect_claim` is an objective that claim_match does not count. For a plain model `seed` is empty and `step` 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from confessions.analysis.metrics import METRICS, Counts
from confessions.analysis.stats import contrast, estimate, removed_share
from confessions.analysis.tables.base import BASELINE, DEFAULT, NUMBER, CellName, Row, read_all_cells

VERIFICATION_COLUMNS = (
    *("experiment", "task", "source", "model", "label", "seed", "step", "condition", "variant", "metric", "kind"),
    *NUMBER,
)
GIVEN = ("claim_match", "balanced_claim_accuracy", "over_claim")


def verification(
    policy: Mapping[tuple[int, int], str | Path],
    models: Mapping[str, str | Path],
    labels: Mapping[str, str],
    model_labels: Mapping[str, str],
) -> pd.DataFrame:
    """From the score files of the policy's checkpoints by (training seed, step) and of plain models by key.

    InputError where a file is damaged, lacks a cell or holds cells that do not pair.
    """
    rows: list[Row] = []
    for (seed, step), cells in read_all_cells(policy).items():
        rows += _cells(cells, {"model": labels["model"], "label": labels["model"], "seed": seed, "step": step})
    for model, cells in read_all_cells(models).items():
        plain = {cell: rows for cell, rows in cells.items() if cell[0] == BASELINE}
        rows += _cells(plain, {"model": model, "label": model_labels[model], "seed": None, "step": 0})
    table = pd.DataFrame(rows).astype({"seed": "Int64"})
    named = {name: labels[name] for name in ("experiment", "task", "source")}
    return table.assign(**named)[list(VERIFICATION_COLUMNS)]


def _cells(cells: Mapping[CellName, pd.DataFrame], model: Row) -> Iterator[Row]:
    """The rows of one model or checkpoint."""
    for (condition, variant), cell in cells.items():
        at = model | {"condition": condition, "variant": variant}
        yield at | {"metric": "checked", "kind": "cell"} | vars(estimate("checked", cell))
        sides = {"verified": cell[cell["checked"].eq(True)], "unverified": cell[cell["checked"].eq(False)]}
        for metric in GIVEN:
            for kind, side in sides.items():
                yield at | {"metric": metric, "kind": kind} | vars(estimate(metric, side))
            counts = [METRICS[metric].fn(side) for side in sides.values()]
            apart = contrast(counts, [1, -1], [side["row"].to_numpy() for side in sides.values()])
            yield at | {"metric": metric, "kind": "difference"} | vars(apart)
        if variant != DEFAULT:
            default = cells[condition, DEFAULT]
            for metric, count in (("incorrect_claim", _incorrect), ("over_claim", METRICS["over_claim"].fn)):
                removed = removed_share(count(default), count(cell))
                yield at | {"metric": metric, "kind": "removed"} | vars(removed)


def _incorrect(scores: pd.DataFrame) -> Counts:
    """Objectives that are not in claim_match: under-claims, hedges, over-claims and all of an invalid report."""
    matched = METRICS["claim_match"].fn(scores)
    return Counts(matched.denominators - matched.numerators, matched.denominators)
