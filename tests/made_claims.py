"""Scores of rollouts whose claims and truth are told one by one, for the metrics of self-knowledge."""

from itertools import count

import numpy as np
import pandas as pd
from made_tables import score_row

from confessions.prompts.report import Compliance

FULL, PARTIAL, NONE = Compliance
NUMBERS = count()  # no two rollouts have the same one


def answers(n: int, kind: str, met: bool, claim: Compliance | None) -> list[dict]:
    """n rollouts of one objective each, all prompts and answers different; `claim` None: an invalid report."""
    said = (None, None) if claim is None else ([claim], 5)
    return [score_row(next(NUMBERS), [met], *said, kinds=[kind]) for _ in range(n)]


def several(rng: np.random.Generator, n: int = 200, prompts: int = 40) -> pd.DataFrame:
    """Answers to prompts, three kinds of different rates; claims at random."""
    rows = []
    for i in range(n):
        met = (rng.random(3) < [0.2, 0.5, 0.8]).tolist()
        said = [Compliance(x) for x in rng.choice(["Full", "Partial", "None"], 3)]
        rows.append(score_row(i, met, said, 5, kinds=list("abc"), instance=f"prompt {i % prompts}"))
    return pd.DataFrame(rows)
