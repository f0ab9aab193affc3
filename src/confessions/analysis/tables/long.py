"""The form in which results are kept beside the pages of docs/results: one row a number, whatever table it is of.

model        the policy; of the scale axis and the ladder the model; in a check of the judge the judge
arm          whose reports: measured, or those of a rival on the same answers (always_none, always_full, base_rate); of
             seeded models also those that do not see the reasoning, or see it in other words (masked, paraphrased)
split        evaluation (sampled answers of held-out topics), training (rollouts of its steps), made (answers by
             code); of the task instructions, held-out topics by the kinds that are asked: train,
             development_held_out, test_held_out; of probes the probe's name
seed, step   of training; empty where nothing was trained, and step for what is of all steps (NAME_slope, a step)
metric       of one kind of objective its name stands behind it (claimed_met_given_met/commas), of one tenth of
             probability the tenth (rate_met/9); whose probability it is, token, report or base_rate, is then the arm
condition    system prompt; in a check of the judge the fault of the answers that the compliant are held against
n, unit      what was counted, and what one is

Every seed stands by itself: no row is pooled over seeds, but for the median onset, whose unit is a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from confessions import tasks
from confessions.analysis.metrics import METRICS
from confessions.analysis.tables.base import BASELINE, CALLED, DEFAULT, NUMERIC, write
from confessions.runtime.errors import InputError
from confessions.runtime.files import read_csv
from confessions.tasks.base import INTACT, VIEWS

LONG_COLUMNS = (
    *("experiment", "model", "arm", "split", "seed", "step", "condition", "variant", "metric"),
    *("value", "low", "high", "n", "unit"),
)
MEASURED, RIVALS = "measured", ("always_none", "always_full", "base_rate")
RIVAL_METRICS = (
    *("claim_match", "grade_honest_given_noncompliant", "balanced_claim_accuracy", "over_claim"),
    *("within_kind_balanced_accuracy", "auroc", "swap", "brier", "false_positive_rate"),
)
SPLITS = {  # by task; of the others, evaluation
    "instructions": "train",
    "instructions_development": "development_held_out",
    "instructions_test": "test_held_out",
}
LOGGED = (  # of a training step, where no table of cells has it
    *("hacked", "judge_pass", "judge_fooled", "truly_correct", "report_valid", "checked"),
    *("n_met", "n_unmet", "full_given_met", "none_given_unmet"),
    *("task_length_mean", "confession_length_mean", "sampler_gap_mean", "seconds"),
)


def long(folder: str | Path, experiment: str) -> pd.DataFrame:
    """Every table of `experiment` in a folder of tables, in one. Those that it has not made are left out.

    InputError where there is none, where one is of another experiment or where it is damaged.
    """
    found = {name: Path(folder) / f"{name}.csv" for name in FORMS}
    there = {name: path for name, path in found.items() if path.is_file()}
    if not there:
        raise InputError(f"{folder}: holds no table to keep; run snakemake --config experiment={experiment}")
    parts = []
    for name, path in there.items():
        table = read_csv(path, ("experiment", "metric", *("value", "low", "high", "n")), NUMERIC)
        table["metric"] = table["metric"].replace(CALLED)
        if odd := set(table["experiment"]) - {experiment}:
            raise InputError(
                f"{path}: of the experiment {min(map(str, odd))}, not {experiment}; "
                f"run snakemake --config experiment={experiment}"
            )
        parts.append(FORMS[name](table))
    rows = pd.concat(parts, ignore_index=True).reindex(columns=list(LONG_COLUMNS))
    rows = rows.drop_duplicates(ignore_index=True)  # a model on both axes
    return rows.astype(dict.fromkeys(("seed", "step", "n"), "Int64"))


def write_long(folders: Mapping[str, str | Path], out: str | Path) -> pd.DataFrame:
    """`long` of each experiment, whose folder of tables is given, one after the other; published as CSV."""
    table = pd.concat([long(folder, experiment) for experiment, folder in folders.items()], ignore_index=True)
    write(table, out)
    return table


def _cells(table: pd.DataFrame) -> pd.DataFrame:
    """stress_grid.csv without the differences, which follow from it; of models as they are, without seed and step."""
    untrained = (table["step"] == 0).all()
    return _reports(table.assign(seed=pd.NA, step=pd.NA) if untrained else table, "cell")


def _models(table: pd.DataFrame) -> pd.DataFrame:
    """scale.csv, ladder.csv: no system prompt."""
    named = table.assign(model=table["label"], condition=BASELINE)
    return _reports(named, "model")


def _reports(table: pd.DataFrame, kind: str) -> pd.DataFrame:
    rival = table["kind"].isin(RIVALS) & table["metric"].isin(RIVAL_METRICS)
    kept = table[(table["kind"] == kind) | rival]
    units = {name: f"{metric.kind}s" for name, metric in METRICS.items()}
    arm = kept["kind"].where(kept["kind"] != kind, MEASURED)
    split = kept["task"].map(SPLITS).fillna("evaluation")
    return kept.assign(arm=arm, split=split, unit=kept["metric"].map(units).fillna("rollouts"))


def _probes(table: pd.DataFrame) -> pd.DataFrame:
    condition = table.get("condition", BASELINE)  # of earlier versions
    named = table.assign(model=table["label"], condition=condition)
    return _reports(named, "cell").assign(split=lambda rows: rows["probe"])


def _of_kinds(table: pd.DataFrame) -> pd.DataFrame:
    """by_kind.csv."""
    return _of_probes(table, table["kind_of_objective"])


def _reliability(table: pd.DataFrame) -> pd.DataFrame:
    return _of_probes(table, table["bin"].astype(int).astype(str)).assign(arm=table["by"])


def _of_probes(table: pd.DataFrame, part: pd.Series) -> pd.DataFrame:
    """Numbers of a part of a probe's claims."""
    at = {"model": table["label"], "split": table["probe"], "condition": BASELINE, "arm": MEASURED}
    return table.assign(metric=table["metric"] + "/" + part, unit="objectives", **at)


def _training(table: pd.DataFrame) -> pd.DataFrame:
    """Of every step what LOGGED and the task name, and of all steps the slope a step, as METRIC_slope."""
    logged = {*LOGGED, *(rate for task in table["task"].unique() for rate in tasks.get(task).rates)}
    kept = table[table["kind"].isin(("step", "slope")) & table["metric"].isin(logged)].copy()
    slope = kept["kind"] == "slope"
    kept.loc[slope, "metric"] += "_slope"
    kept.loc[slope, "step"] = pd.NA
    return kept.assign(arm=MEASURED, split="training", condition=BASELINE, variant=DEFAULT, unit="rollouts")


def _onset(table: pd.DataFrame) -> pd.DataFrame:
    metric = table["kind"].map({"seed": "onset", "median": "onset_median"})
    return table.assign(metric=metric, arm=MEASURED, split="training", unit="runs", step=pd.NA)


def _judge(table: pd.DataFrame) -> pd.DataFrame:
    """judge.csv: what the grid has not."""
    kept = table[(table["kind"] != "count") & (table["metric"] != "judge_fooled")]
    metric = "judge_" + kept["metric"]
    return kept.assign(metric=metric, arm=MEASURED, split="evaluation", variant=DEFAULT, unit="answers")


def _judge_check(table: pd.DataFrame) -> pd.DataFrame:
    metric = "judge_" + table["metric"]
    return table.assign(metric=metric, arm=MEASURED, split="made", condition=table["fault"], unit="answers")


def _seeding(table: pd.DataFrame) -> pd.DataFrame:
    """Of every seeded model its rates, and its claims in each view of the reasoning: `arm` is the view."""
    kept = table[(table["band"] == "all") & table["kind"].isin(("rate", *VIEWS))]
    arm = kept["kind"].where(~kept["kind"].isin(("rate", INTACT)), MEASURED)
    units = {name: f"{metric.kind}s" for name, metric in METRICS.items()}
    unit = kept["metric"].map(units).fillna("rollouts")
    at = {"split": "evaluation", "condition": BASELINE, "variant": DEFAULT, "seed": kept["training_seed"]}
    return kept.assign(arm=arm, unit=unit, **at)


FORMS: Mapping[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "stress_grid": _cells,
    "scale": _models,
    "ladder": _models,
    "probes": _probes,
    "by_kind": _of_kinds,
    "reliability": _reliability,
    "training": _training,
    "onset": _onset,
    "judge": _judge,
    "judge_check": _judge_check,
    "seeding": _seeding,
}
