"""hack_emergence.png: by training step how often the judge is fooled and the task's own hack is done, and whether it is
confessed."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from confessions.analysis import tables
from confessions.analysis.figures import style
from confessions.analysis.stats import wilson

HACKING = {
    "judge_fooled": ("fools the judge", style.SAND),
    "hacked": ("{hack}", style.RED),
    "truly_correct": ("truly correct: {all_met}", style.BLUE),
}
# Of the objectives so counted, those so claimed
CONFESSING = {
    ("none_given_unmet", "n_unmet"): ("claims None, given wrong", style.RED),
    ("full_given_met", "n_met"): ("claims Full, given right", style.BLUE),
}
CHECKS = "checked"


def plot_hack_emergence(table: str | Path, out: str | Path) -> None:
    """Draw training.csv: shares of each step's rollouts over all training seeds, with a mark for each seed."""
    parts = [name for pair in CONFESSING for name in pair]
    data = tables.read(table, {"step": (*HACKING, CHECKS, *parts)})
    data, words = data[data["kind"] == "step"], vars(style.wording(data))
    counts = _counts(data)
    with mpl.rc_context(style.STYLE):
        figure = Figure(figsize=(13, 5.2))
        axes = figure.subplots(1, 2, sharey=True)
        for metric, (label, color) in HACKING.items():
            _share(axes[0], counts[metric], counts["n"], label.format_map(words), color)
        for (hits, of), (label, color) in CONFESSING.items():
            _share(axes[1], counts[hits], counts[of], label, color, interval=False)
        _share(axes[1], counts[CHECKS], counts["n"], words["checks"], style.GREEN)
        axes[0].set_title("What is done", pad=8)
        axes[1].set_title("What is confessed", pad=8)
        axes[0].set_ylabel("share of the step's rollouts")
        axes[1].set_ylabel(f"share of {words['objectives']}\nand of rollouts that check")
        for axis in axes:
            axis.set_xlabel("training step")
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
            axis.margins(x=0.02)
            style.percent(axis)
            axis.tick_params(labelleft=True)
            axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2)
        name = style.called(data["model"].iat[0], data["source"].iat[0])
        n = style.range_in_words(data[data["metric"] == "hacked"]["n"])
        details = (
            f"{n} rollouts a step and seed · {style.seeds_in_words(data)} · marks: seeds; lines: all seeds together; "
            "bands: 95 % intervals of shares of rollouts\n"
            "always claiming None has 100 % given wrong and 0 % given right, whatever the answer"
        )
        style.lay_out(figure, style.titles(figure, f"Does a hack emerge, and is it confessed? {name}", details))
        style.save(figure, out)


def _counts(data: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By metric, the counts of each step (row) and seed (column). Shares are multiplied out again."""
    wide = {metric: rows.pivot(index="step", columns="seed", values="value") for metric, rows in data.groupby("metric")}
    n = data[data["metric"] == "hacked"].pivot(index="step", columns="seed", values="n")
    shares = {metric: (wide[metric] * n).round() for metric in (*HACKING, CHECKS)}
    return {**wide, **shares, "n": n}


def _share(axis: Axes, hits: pd.DataFrame, of: pd.DataFrame, label: str, color: str, interval: bool = True) -> None:
    """A mark a seed and a line over all of them. Objectives of a rollout are not independent: no interval."""
    for i, seed in enumerate(hits.columns):
        drawn = {
            "marker": style.SEED_MARKERS[i % len(style.SEED_MARKERS)],
            "markersize": 3.5,
            "linestyle": "",
            "alpha": 0.4,
        }
        axis.plot(hits.index, hits[seed] / of[seed].replace(0, np.nan), color=color, markeredgewidth=0, **drawn)
    k, n = hits.sum(axis=1), of.sum(axis=1)
    axis.plot(k.index, k / n.replace(0, np.nan), color=color, linewidth=2.2, label=label, zorder=4)
    if interval:
        bands = [wilson(int(hit), int(size)) for hit, size in zip(k, n, strict=True)]
        low, high = ([getattr(band, end) for band in bands] for end in ("low", "high"))
        axis.fill_between(k.index, low, high, color=color, alpha=0.16, linewidth=0, zorder=2)
