"""reliability.png: how often what was given a probability is met, beside that probability; below, how many claims each
tenth holds. A column is a probe and a wording of the request.

A curve is the last checkpoint of a training seed, or a plain model: by the probability of the claim's token, or where
that is not known by the report's own. The rival's points are its rates of the kinds, on the same answers.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from confessions.analysis import tables
from confessions.analysis.figures.style import (
    FAINT,
    SAND,
    STYLE,
    called,
    called_variant,
    lay_out,
    legend,
    looks,
    percent,
    save,
    titles,
    wording,
)

CLAIMED, MET, RIVAL = "claimed_probability", "rate_met", "base_rate"
NAMED = {"token": "by the token of the claim", "report": "by the report"}
HOLLOW = {"marker": "s", "markersize": 6, "markerfacecolor": "white", "color": SAND, "linestyle": ""}
IDENTITY = {"color": FAINT, "linestyle": (0, (4, 2)), "linewidth": 1.4}


def plot_reliability(table: str | Path, out: str | Path) -> None:
    """Draw reliability.csv."""
    data = tables.read_probes(table, (CLAIMED, MET), tables.RELIABILITY_COLUMNS, ("by", "bin"))
    panels = list(data.groupby(["probe", "variant"], sort=False))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(9.0, 4.2 * len(panels)), 7.4))
        axes = figure.subplots(2, len(panels), squeeze=False, sharex=True, sharey="row", height_ratios=[3, 1])
        for (curves, counts), ((probe, variant), found) in zip(axes.T, panels, strict=True):
            by = "token" if (found["by"] == "token").any() else "report"
            curves.set_title(f"{probe}\n{called_variant(wording(found), variant)}\n{NAMED[by]}", fontsize=10)
            _curves(curves, found[found["by"].isin((by, RIVAL))])
            _counts(counts, found[(found["by"] == by) & (found["metric"] == MET)])
        axes[0, 0].set_ylabel("really met")
        axes[1, 0].set_ylabel("claims")
        legend(figure, _handles(data))
        heading = f"Do probabilities mean what they say? {called(data['experiment'].iat[0], data['source'].iat[0])}"
        details = "last checkpoint of each seed · claims of valid reports, by tenth · bars: 95 % intervals"
        lay_out(figure, titles(figure, heading, details))
        save(figure, out)


def _curves(axis: Axes, found: pd.DataFrame) -> None:
    axis.plot([0, 1], [0, 1], label="identity", **IDENTITY)
    for label, own, look in looks(found):
        for rival in (True, False):
            rows = found[own & ((found["by"] == RIVAL) == rival)]
            claimed, met = (rows[rows["metric"] == metric].set_index("bin") for metric in (CLAIMED, MET))
            x, style = (
                claimed["value"].loc[met.index],
                HOLLOW if rival else {"markersize": 5.5, "linewidth": 1.4, **look},
            )
            axis.vlines(x, met["low"], met["high"], color=style["color"], alpha=0.45, linewidth=1.6)
            axis.plot(x, met["value"], label=RIVAL if rival else label, zorder=2.5 if rival else 3, **style)
    axis.set_xlim(-0.03, 1.03)
    percent(axis)


def _counts(axis: Axes, found: pd.DataFrame) -> None:
    """How many claims each tenth holds, a step line a seed or model."""
    for label, own, look in looks(found):
        n = found[own].set_index("bin")["n"].reindex(range(10), fill_value=0)
        axis.stairs(n, [tenth / 10 for tenth in range(11)], color=look["color"], alpha=0.8, label=label)
    axis.set_xlabel("claimed probability of being met")
    axis.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axis.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    sns.despine(ax=axis, left=True)


def _handles(data: pd.DataFrame) -> list[Line2D]:
    subjects = [Line2D([], [], label=label, markersize=5.5, **look) for label, _, look in looks(data)]
    rival = Line2D([], [], label="best claim by kind (base-rate rival): its rates", **HOLLOW)
    return [*subjects, rival, Line2D([], [], label="what is claimed is what is met", **IDENTITY)]
