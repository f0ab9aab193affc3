"""by_kind.csv: what is claimed of each kind of objective, in every probe, by the last checkpoint of each training seed
and by each plain model. Column `kind_of_objective`, and metrics, all of column `kind` "cell":

claimed_met_given_met       P(Full | met)
claimed_unmet_given_unmet   P(None | unmet)
finding_right               share of the findings that are the task's own, word for word; of valid reports
A kind of which nothing is met, or unmet, has no value there. An invalid report claims neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from confessions.analysis.claims import claims
from confessions.analysis.knowledge import claimed_right
from confessions.analysis.metrics import finding_right_of
from confessions.analysis.stats import cluster_bootstrap
from confessions.analysis.tables.base import NUMBER, Row
from confessions.analysis.tables.probes import last_steps, probe_cells, probe_table

BY_KIND_COLUMNS = (
    *("experiment", "source", "model", "label", "seed", "step", "progress", "probe", "task", "variant"),
    *("kind_of_objective", "metric", "kind", *NUMBER),
)


def by_kind(
    policy: Mapping[tuple[str, int, int], str | Path],
    models: Mapping[tuple[str, str], str | Path],
    labels: Mapping[str, str],
    model_labels: Mapping[str, str],
) -> pd.DataFrame:
    """From the same files as `probes`, and InputError where that has one."""
    rows: list[Row] = []
    for at, cell in probe_cells(policy, models, labels, model_labels, last_steps(policy)):
        every = claims(cell)
        for kind in sorted(set(every.kind)):
            of_kind = every.only(every.kind == kind)
            counted = {
                "claimed_met_given_met": claimed_right(of_kind, True),
                "claimed_unmet_given_unmet": claimed_right(of_kind, False),
                "finding_right": finding_right_of(kind, cell),
            }
            for metric, counts in counted.items():
                number = vars(cluster_bootstrap(counts))
                rows.append(at | {"kind_of_objective": kind, "metric": metric, "kind": "cell"} | number)
    return probe_table(rows, labels, BY_KIND_COLUMNS)
