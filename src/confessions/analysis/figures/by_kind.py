"""by_kind.png: what is claimed of each kind of objective, a block of panels for each probe and wording of the request.

A row is a kind, those that are told apart worst at the bottom; a mark is the last checkpoint of a training seed, or a
plain model, with its interval.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from confessions.analysis import tables
from confessions.analysis.figures.style import (
    STYLE,
    called,
    called_variant,
    lay_out,
    legend,
    looks,
    save,
    titles,
    wording,
)

METRICS = {
    "claimed_met_given_met": "met: claimed met",
    "claimed_unmet_given_unmet": "not met: claimed not met",
    "finding_right": "finding right, word for word",
}
TOLD_APART = ["claimed_met_given_met", "claimed_unmet_given_unmet"]


def plot_by_kind(table: str | Path, out: str | Path) -> None:
    """Draw by_kind.csv."""
    data = tables.read_probes(table, METRICS, tables.BY_KIND_COLUMNS, ("kind_of_objective",))
    blocks = list(data.groupby(["probe", "variant"], sort=False))
    sizes = [found["kind_of_objective"].nunique() for _, found in blocks]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11.5, 2.2 + 0.26 * sum(sizes) + 0.75 * len(blocks)))
        axes = figure.subplots(len(blocks), 3, squeeze=False, sharex=True, height_ratios=[size + 1 for size in sizes])
        for row, ((probe, variant), found) in zip(axes, blocks, strict=True):
            kinds = _sorted(found)
            for axis, (metric, words) in zip(row, METRICS.items(), strict=True):
                _panel(axis, found[found["metric"] == metric], kinds)
                axis.set_title(words, fontsize=10, fontweight="normal")
                axis.tick_params(labelleft=axis is row[0], labelbottom=True)
            row[0].set_title(
                f"{probe}, {called_variant(wording(found), variant)}\n{METRICS[TOLD_APART[0]]}", fontsize=10
            )
        handles = [Line2D([], [], label=label, linestyle="", markersize=5, **look) for label, _, look in looks(data)]
        legend(figure, handles)
        heading = f"Claims and findings by kind: {called(data['experiment'].iat[0], data['source'].iat[0])}"
        details = "last checkpoint of each seed · bars: 95 % intervals · the worst told apart at the bottom"
        lay_out(figure, titles(figure, heading, details))
        save(figure, out)


def _sorted(found: pd.DataFrame) -> list[str]:
    """The kinds by the mean of both shares of right claims over seeds and models, the lowest first."""
    claimed = found[found["metric"].isin(TOLD_APART)]
    return list(claimed.groupby("kind_of_objective")["value"].mean().sort_values().index)


def _panel(axis: Axes, found: pd.DataFrame, kinds: list[str]) -> None:
    marks = looks(found)
    for i, (label, own, look) in enumerate(marks):
        rows = found[own].set_index("kind_of_objective").loc[kinds]
        y = [place + 0.18 * ((len(marks) - 1) / 2 - i) / max(1, (len(marks) - 1) / 2) for place in range(len(kinds))]
        axis.hlines(y, rows["low"], rows["high"], color=look["color"], alpha=0.45, linewidth=1.6)
        axis.plot(rows["value"], y, linestyle="", markersize=4.5, label=label, zorder=3, **look)
    axis.set(xlim=(-0.03, 1.03), ylim=(-0.7, len(kinds) - 0.3))
    axis.set_yticks(range(len(kinds)), kinds, fontsize=8.5)
    axis.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    sns.despine(ax=axis, left=True)
