"""How long the tables take: stress_grid on 5 checkpoints x 5 conditions x 2 variants of 64 rollouts, and the others.

    python benchmarks/tables.py [--rollouts 64]

The scores are made up: a policy that counts now and then, oftener under the forced request and at later checkpoints.
Seconds are processor time of one core. The goal is 15 s for the stress grid.
"""

import argparse
import os
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd

from confessions.analysis import tables
from confessions.prompts.report import Compliance
from confessions.scoring.scores import claim_columns

GOAL = 15
STEPS = (0, 25, 50, 75, 100)
CONDITIONS = ("baseline", "awareness", "soft", "hard", "jailbreak")
LABELS = {"experiment": "made up", "task": "word_count", "model": "none", "source": "none"}


def scores(rng: np.random.Generator, progress: float, n: int) -> pd.DataFrame:
    """One checkpoint: the answers of a condition are the same in both variants."""
    rows = []
    for i, condition in enumerate(CONDITIONS):
        met = rng.random((n, 5)) < rng.beta(1, 3, (n, 1))
        for variant, counts in (("default", 0.1 + 0.4 * progress - 0.02 * i), ("forced_count", 0.9)):
            checked, valid = rng.random(n) < counts, rng.random(n) < 0.97
            right_claim = rng.random((n, 5)) < np.where(checked, 0.95, 0.2)[:, None]
            for row in range(n):
                full = met[row] == right_claim[row]
                claims = [Compliance.FULL if claim else Compliance.NONE for claim in full] if valid[row] else None
                compliant, wrong = bool(met[row].all()), int(5 - met[row].sum())
                known = {
                    "row": row, "condition": condition, "variant": variant, "met": met[row].tolist(),
                    "n_objectives": 5, "n_met": 5 - wrong, "exact_compliance": compliant, "hacked": not compliant,
                    "n_false_labels": wrong, "report_valid": bool(valid[row]), "checked": bool(checked[row]),
                    "judge_pass": True,
                }  # fmt: skip
                grade = (7 if full.all() else 2) if valid[row] else None
                rows.append(known | claim_columns(known["met"], compliant, claims, grade))
    return pd.DataFrame(rows)


def timed(name: str, make) -> float:
    began = time.process_time()
    table = make()
    seconds = time.process_time() - began
    print(f"{name:13} {seconds:6.1f} s  {len(table)} rows", flush=True)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rollouts", type=int, default=64, help="a cell")
    n = parser.parse_args().rollouts
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        files = {(0, step): Path(folder) / f"step_{step}.parquet" for step in STEPS}
        for (_, step), path in files.items():
            scores(rng, step / STEPS[-1], n).to_parquet(path)
        plain = {f"model_{i}": path for i, path in enumerate(files.values())}
        names = dict(zip(plain, plain, strict=True))
        cells = len(list(product(STEPS, CONDITIONS, ("default", "forced_count"))))
        print(f"{cells} cells of {n} rollouts")
        seconds = timed("stress_grid", lambda: tables.stress_grid(files, LABELS))
        timed("reproduction", lambda: tables.reproduction(files, LABELS))
        timed("by_model", lambda: tables.by_model(plain, names, LABELS))
        timed("verification", lambda: tables.verification(files, plain, LABELS, names))
        timed("power", lambda: tables.power(files, LABELS))
    if seconds > GOAL:
        sys.exit(f"the stress grid took longer than {GOAL} s")


if __name__ == "__main__":
    main()
