"""Folders of results that no model and no experiment may be called like: theirs lie beside them.

tests/config/test_config.py holds this list to the paths of the workflow's rules and of pipeline/paths.py.
"""

from pathlib import Path

PROVENANCE = "provenance"  # records of what jobs made (provenance.py)
WORK = "work"  # what killed jobs go on from
BENCHMARKS = "benchmarks"  # time and memory of each job, by Snakemake

SHARED = ("models", "calibrations", "tables", "figures", "logs", "slurm_logs")  # in results, beside the experiments
OWN = (
    PROVENANCE,
    WORK,
    BENCHMARKS,
    "tables",
    "figures",
    "logs",
    "models",
    "seeding",
    "survey",
    "rollouts",
    "scores",
    "train",
    "adapters",
)
SINGLE = ("judge_check",)  # one file's name
REBUILT = ("nano-rebuilt-xs", "nano-rebuilt-s", "nano-rebuilt-m")  # by the rule rebuild_nano, beside the models

TAKEN = frozenset({*SHARED, *OWN, *SINGLE, *REBUILT})


def of_old_layout(results: str | Path) -> Path | None:
    """A file that lies where the view of the chosen experiment is, which is made of links."""
    found = [Path(results, "logs"), *Path(results).glob("tables/*.csv"), *Path(results).glob("figures/*.png")]
    return next((path for path in found if path.exists() and not path.is_symlink()), None)
