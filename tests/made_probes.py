"""Score files of probes with known truths, findings and token probabilities."""

from pathlib import Path

import numpy as np
import pandas as pd
from made_tables import score_row

from confessions.prompts.report import Compliance

FULL, NONE = Compliance.FULL, Compliance.NONE
KINDS = {"no comma": 0.3, "last word": 0.5, "sentences": 0.7}  # how often each is met


def write_probe(path: Path, skill: float, n: int = 120, seed: int = 0, invalid: int = 0, tokens: bool = True) -> Path:
    """`n` answers to as many prompts under three requirements. A claim is right with probability `skill`, and so is the
    finding before it. The last `invalid` reports are invalid."""
    rng, truths = np.random.default_rng(seed), np.random.default_rng(7)
    rows = []
    for row in range(n):
        met = [bool(truths.random() < rate) for rate in KINDS.values()]
        right = [bool(rng.random() < skill) for _ in met]
        claims = [FULL if m == r else NONE for m, r in zip(met, right, strict=True)]
        valid = row < n - invalid
        more = {"finding_right": right if valid else None}
        if tokens:
            sure = [float(rng.uniform(0.5, 0.99)) for _ in met]
            more["p_token"] = [p if c == FULL else 1 - p for p, c in zip(sure, claims, strict=True)] if valid else None
        grade = 7 if all(met) else 1
        made = score_row(row, met, claims if valid else None, grade if valid else None, kinds=[*KINDS])
        rows.append(made | more | {"variant": "evidence", "task": "instructions"})
    pd.DataFrame(rows).to_parquet(path)
    return path
