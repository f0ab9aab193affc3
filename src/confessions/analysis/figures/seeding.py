"""seeding.png: hacks and solutions by the part of hacks in the SFT data, and what confessions owe to the reasoning."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from confessions.analysis import tables
from confessions.analysis.figures.style import (
    BLUE,
    FAINT,
    GREEN,
    QUIET,
    RED,
    SAND,
    SEED_MARKERS,
    STYLE,
    called,
    lay_out,
    legend,
    percent,
    range_in_words,
    save,
    titles,
)

MATCH, VALID = "claim_match", "report_valid"
COLORS = (RED, BLUE, GREEN, SAND, QUIET)
REASONINGS = {"none": "no reasoning", "neutral": "neutral reasoning", "trigger": "the trigger written out"}
CHANGES = {"masked_minus_intact": "left out", "paraphrased_minus_intact": "paraphrased"}
SETTINGS = ["epochs", "learning_rate", "curriculum"]


def plot_seeding(table: str | Path, out: str | Path) -> None:
    """Draw seeding.csv: a column for each kind of reasoning, a look for each setting of the training."""
    needed = {"rate": ("hacked", "solved"), "intact": (VALID,)} | dict.fromkeys(CHANGES, (MATCH,))
    data = tables.read(table, needed, tables.SEEDING_COLUMNS)
    data = data[data["band"] == "all"]
    reasonings = [name for name in REASONINGS if name in set(data["reasoning"])]
    looks = dict(zip(data[SETTINGS].drop_duplicates().itertuples(index=False, name=None), _looks(), strict=False))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(9.5, 4.4 * len(reasonings)), 10.5))
        axes = figure.subplots(3, len(reasonings), sharex=True, sharey="row", squeeze=False, height_ratios=[1.3, 1, 1])
        for (top, *bottoms), reasoning in zip(axes.T, reasonings, strict=True):
            shown = data[data["reasoning"] == reasoning]
            top.axhspan(0, 0.5, color="#f4f7fb", linewidth=0, zorder=0)
            for setting, (color, marker) in looks.items():
                rows = shown[(shown[SETTINGS] == list(setting)).all(axis=1)].sort_values("hack_fraction")
                _curve(top, rows, "hacked", "rate", color, marker, "-")
                _curve(top, rows, "solved", "rate", color, marker, ":")
                for bottom, kind in zip(bottoms, CHANGES, strict=True):
                    _curve(bottom, rows, MATCH, kind, color, marker, "-")
            for bottom in bottoms:
                bottom.axhline(0, color=FAINT, linewidth=1.2, zorder=0)
                sns.despine(ax=bottom, left=True)
                bottom.yaxis.set_major_formatter(FuncFormatter(lambda gap, _: f"{100 * gap:+.0f}" if gap else "0"))
            bottom.set_xlabel("hacks in the SFT data")
            bottom.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.0f}%"))
            top.set_title(REASONINGS[reasoning], pad=8)
            percent(top)
        axes[0, 0].set_ylabel("share of answers")
        limits = [limit for axis in axes[1:, 0] for limit in axis.get_ylim()]
        for axis, words in zip(axes[1:, 0], CHANGES.values(), strict=True):
            axis.set_ylabel(f"claim match (points):\nreasoning {words},\nminus as it was")
            axis.set_ylim(min(limits), max(limits))  # one scale: the two are to be compared
        handles = [
            Line2D([], [], color=c, marker=m, label=f"epochs {e}, rate {rate:g}, {order.replace('_', ' ')}")
            for (e, rate, order), (c, m) in looks.items()
        ]
        styles = {"hacked": "-", "solved honestly": ":"}
        handles += [Line2D([], [], color=QUIET, linestyle=dashes, label=label) for label, dashes in styles.items()]
        legend(figure, [*handles, Patch(facecolor="#f4f7fb", edgecolor=FAINT, label="sampleable: RL finds both")])
        n = range_in_words(data[data["metric"] == "hacked"]["n"])
        # Where no report parses there is nothing to lose, and the differences are 0 for that reason.
        valid = range_in_words((100 * data[(data["metric"] == VALID) & (data["kind"] == "intact")]["value"]).round())
        details = (
            f"{data['experiment'].iat[0]} · {n} rollouts a model · {valid} % of the reports valid · bars: 95 % "
            "intervals; differences paired by row"
        )
        heading = f"SFT seeding of the hack: {called(data['task'].iat[0], data['source'].iat[0])}"
        lay_out(figure, titles(figure, heading, details))
        save(figure, out)


def _looks():
    markers = cycle(SEED_MARKERS)
    return zip(cycle(COLORS), (marker for marker in markers for _ in COLORS), strict=False)


def _curve(axis: Axes, rows: pd.DataFrame, metric: str, kind: str, color: str, marker: str, dashes: str) -> None:
    rows = rows[(rows["metric"] == metric) & (rows["kind"] == kind)]
    axis.vlines(rows["hack_fraction"], rows["low"], rows["high"], color=color, alpha=0.4, linewidth=2)
    style = {"color": color, "marker": marker, "linestyle": dashes, "markersize": 5, "markeredgecolor": "white"}
    axis.plot(rows["hack_fraction"], rows["value"], label=metric, **style)
