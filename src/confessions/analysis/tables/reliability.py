"""reliability.csv: how often what was given a probability is met, by tenth of that probability, of valid reports: the
last checkpoint of each training seed and each plain model, in every probe. Columns:

by      whose probability: token (of the claim's token, where it is known), report (written, or else the claim: 1, .5
        or 0), base_rate (the rival's rate of the kind, on the same answers)
bin     the tenth, from 0; the last holds what is certain
metric  claimed_probability (mean of the bin; no interval) or rate_met; `n` claims
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from confessions.analysis.claims import Claims, claims
from confessions.analysis.knowledge import rate_met, tenths
from confessions.analysis.rivals import base_rate_scores
from confessions.analysis.stats import Estimate, cluster_bootstrap
from confessions.analysis.tables.base import NUMBER, Row
from confessions.analysis.tables.probes import last_steps, probe_cells, probe_table

RELIABILITY_COLUMNS = (
    *("experiment", "source", "model", "label", "seed", "step", "progress", "probe", "task", "variant"),
    *("by", "bin", "metric", "kind", *NUMBER),
)


def reliability(
    policy: Mapping[tuple[str, int, int], str | Path],
    models: Mapping[tuple[str, str], str | Path],
    labels: Mapping[str, str],
    model_labels: Mapping[str, str],
) -> pd.DataFrame:
    """From the same files as `probes`, and InputError where that has one."""
    rows: list[Row] = []
    for at, cell in probe_cells(policy, models, labels, model_labels, last_steps(policy)):
        said = claims(cell)
        sources = {
            "token": said.by_token(),
            "report": said,
            "base_rate": claims(base_rate_scores(cell)),
        }
        for by, given in sources.items():
            rows += [at | {"by": by, "kind": "cell"} | row for row in _bins(given.valid)]
    return probe_table(rows, labels, RELIABILITY_COLUMNS)


def _bins(c: Claims) -> Iterator[Row]:
    """Both metrics of every tenth that has claims."""
    tenth = tenths(c.p_met)
    for number in np.unique(tenth):
        held = c.only(tenth == number)
        mean = Estimate(float(held.p_met.mean()), math.nan, math.nan, len(held.met), "mean of the bin")
        for metric, found in (("claimed_probability", mean), ("rate_met", cluster_bootstrap(rate_met(held)))):
            yield {"bin": int(number), "metric": metric} | vars(found)
