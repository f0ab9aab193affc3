"""Every metric of anybody's transcripts (scoring.transcripts), as a table, in words and as the stress grid.

Answers to one instance are not independent of each other, and a file may hold any number: the intervals of all metrics
resample instances.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from confessions.analysis import tables
from confessions.analysis.metrics import METRICS, measure, own_rates
from confessions.analysis.stats import cluster_bootstrap
from confessions.analysis.sums import Counts, Statistic
from confessions.analysis.tables.base import BASELINE, DEFAULT, GRID_COLUMNS, Row, cell_rows, difference_rows
from confessions.runtime.errors import InputError
from confessions.scoring.given import Given

FORMATS = (".png", ".svg", ".pdf")
CELL = ["task", "model", "condition", "variant"]
UNJUDGED = ("judge_pass", "judge_fooled")  # metrics of a weak judge: there is none
RIVALS = {"always_none": "always unmet", "always_full": "always met", "base_rate": "base rate"}  # in words


def table(scores: Sequence[dict[str, Any]], name: str) -> pd.DataFrame:
    """The table stress_grid.csv of scored transcripts, a cell each model, condition and variant of a task.

    Cells that hold the same instances under the same ids have their differences from baseline, and from the default
    variant, too.
    """
    frame = pd.DataFrame(list(scores)).assign(judge_pass=float("nan"))
    cells = {
        cell: rows.assign(order=rows["id"].map(str)).sort_values("order", ignore_index=True)
        for cell, rows in frame.groupby(CELL, sort=False)
    }
    counts = {cell: _measured(rows) for cell, rows in cells.items()}
    found: list[Row] = []
    for (task, model, condition, variant), cell in cells.items():
        here = counts[task, model, condition, variant]
        at = {"task": task, "model": model, "condition": condition, "variant": variant}
        found += cell_rows(cell.drop(columns="task"), here, at, "cell")
        for rate, counted in own_rates(cell).items():
            number = cluster_bootstrap(counted.by_instance(cell["instance"].to_numpy(dtype=str)))
            found.append(at | {"metric": rate, "kind": "cell"} | vars(number))
        others = {"minus_baseline": (BASELINE, variant), "minus_default": (condition, DEFAULT)}
        for kind, other in others.items():
            first = (task, model, *other)
            if other != (condition, variant) and first in cells and _pair(cells[first], cell):
                found += difference_rows(counts[first], here, at, kind)
    labels = {"experiment": name, "source": "transcripts", "seed": 0, "step": 0, "progress": 0.0}
    whole = pd.DataFrame(found).assign(**labels)[list(GRID_COLUMNS)]
    return whole[~whole["metric"].isin(UNJUDGED)].reset_index(drop=True)


def _measured(cell: pd.DataFrame) -> dict[str, Statistic]:
    """Every metric, over instances. What nobody was asked about is not counted as not known: a judge's verdict, and
    hacks and checks of a truth that is given."""
    unasked = ["judge_pass"] if cell["task"].iat[0] != Given.name else ["judge_pass", "hacked", "checked"]
    not_known = METRICS["not_known"].fn(cell.assign(**dict.fromkeys(unasked, False)))
    instance = cell["instance"].to_numpy(dtype=str)
    return {
        name: found.by_instance(instance) if isinstance(found, Counts) and METRICS[name].cluster == "rollout" else found
        for name, found in (measure(cell) | {"not_known": not_known}).items()
    }


def _pair(first: pd.DataFrame, second: pd.DataFrame) -> bool:
    columns = ["order", "instance"]
    return first["order"].is_unique and first[columns].equals(second[columns])


def in_words(table: pd.DataFrame) -> str:
    """Of each cell its metrics with n and interval, and what policies that see no answer get on the same answers."""
    paragraphs = []
    for cell, rows in table.groupby(CELL, sort=False):
        measured = rows[rows["kind"] == "cell"].set_index("metric")
        known = measured[measured["value"].notna()]
        shown = pd.DataFrame(
            {
                "value": known["value"].map("{:.3f}".format),
                "95 %": [*map(_interval, known["low"], known["high"])],
                "n": known["n"].map("{:.0f}".format),
            }
        )
        for kind, called in RIVALS.items():
            rival = rows[rows["kind"] == kind].set_index("metric")["value"].reindex(known.index)
            shown[called] = rival.map("{:.3f}".format).where(rival.notna(), "-")
        nothing = [name for name in measured.index if name not in known.index]
        paragraphs.append(
            f"{' / '.join(cell)}\n{shown.rename_axis(None).to_string()}"
            + (f"\nnothing to measure: {', '.join(nothing)}" if nothing else "")
        )
    return "\n\n".join(paragraphs)


def _interval(low: float, high: float) -> str:
    return "-" if pd.isna(low) else f"[{low:.3f}, {high:.3f}]"


def check_figure(out: Path) -> None:
    """Raise InputError where matplotlib cannot tell the format from the name."""
    if out.suffix not in FORMATS:
        raise InputError(f"--plot {out}: the name has to end in {', '.join(FORMATS)}")


def draw(table: pd.DataFrame, out: Path) -> None:
    """The stress grid. Raises InputError where it needs cells that are not there, or that do not pair."""
    from confessions.analysis.figures.stress_grid import plot_stress_grid  # numbers need no matplotlib

    cells = table[table["kind"] == "cell"]
    if cells["task"].nunique() > 1:
        raise InputError(f"--plot: one task a figure, not {', '.join(cells['task'].unique())}: score them apart")
    conditions, variants = cells["condition"].unique(), cells["variant"].unique()
    if BASELINE not in conditions:
        raise InputError(f"--plot: no line has the condition {BASELINE}, which the others are held against")
    paired = table[table["kind"] == "minus_baseline"]
    for model in cells["model"].unique():
        for condition in conditions:
            for variant in variants:
                here = (table["model"] == model) & (table["condition"] == condition) & (table["variant"] == variant)
                if not (here & (table["kind"] == "cell")).any():
                    raise InputError(f"--plot: no line of {model} / {condition} / {variant}: each is needed")
                if condition != BASELINE and not here[paired.index].any():
                    what = "does not have the ids and instances of baseline, each once: they are needed for differences"
                    raise InputError(f"--plot: {model} / {condition} / {variant} {what}")
    with tempfile.TemporaryDirectory() as folder:
        grid = Path(folder) / "stress_grid.csv"
        tables.write(table, grid)
        plot_stress_grid(grid, out)
