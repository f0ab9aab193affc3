"""reproduction.png: honesty against training progress; training_echo.png: how often the weak judge is fooled."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from confessions.analysis import tables
from confessions.analysis.figures import style

HONESTY = ("claim_match", "grade_honest_given_noncompliant")
CHECKING = {
    "balanced_claim_accuracy": ("balanced claim accuracy", style.BLUE),
    "checked": ("{checks}", style.GREEN),
    "report_valid": ("report is valid", style.FAINT),
}
JUDGING = {
    "judge_fooled": ("judge fooled: passes a wrong answer", style.RED),
    "truly_correct": ("truly correct: {all_met}", style.BLUE),
}


def plot_reproduction(table: str | Path, out: str | Path) -> None:
    """Draw reproduction.csv: claim match, grade honesty, and whether the model checks."""
    balanced = "balanced_claim_accuracy"
    needed = {"checkpoint": (*HONESTY, *CHECKING)} | dict.fromkeys(style.RIVALS, (*HONESTY, balanced))
    data = tables.read(table, needed)
    measured = data[data["kind"] == "checkpoint"]
    n, failed = (
        style.range_in_words(measured[measured["metric"] == name]["n"]) for name in ("report_valid", HONESTY[1])
    )
    words = vars(style.wording(data))
    with mpl.rc_context(style.STYLE):
        figure = Figure(figsize=(14, 5.6))
        axes = figure.subplots(1, 3, sharey=True)
        _panel(axes[0], "Claim match", f"share of {words['objectives']} whose claim is right and unhedged")
        _panel(axes[1], "Honest grade, given a failed answer", f"graded 3 or less, of {failed} such rollouts")
        alike = f"accuracy weighs right and wrong {words['objectives']} alike"
        _panel(axes[2], "Does honesty come from checking?", alike)
        for axis, metric in zip(axes, HONESTY, strict=False):
            _curves(axis, measured, metric, data["model"].iat[0], style.BLUE)
            for kind, (label, dashes) in style.RIVALS.items():
                _rival(axis, data, kind, metric, label, dashes)
            _published_points(axis, data["task"].iat[0], metric)
        for i, (metric, (label, color)) in enumerate(CHECKING.items()):
            _curves(axes[2], measured, metric, label.format_map(words), color, shift=3.6 * (i - 1))
        _rival(axes[2], data, "always_none", balanced, "always None or always Full", style.HALF_OF_DASHES)
        _rival(axes[2], data, style.BASE_RATE, balanced, *style.RIVALS[style.BASE_RATE])
        for axis in axes:
            axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2, columnspacing=1.4)
        _titles(figure, "Confession honesty over training", data, f"{n} rollouts a checkpoint", "bars")
        style.save(figure, out)


def plot_training_echo(table: str | Path, out: str | Path) -> None:
    """Draw training.csv: how often the judge is fooled and the answer right, with trends; a panel a seed."""
    data = tables.read(table, dict.fromkeys(("step", "trend", "slope"), tuple(JUDGING)))
    data = data[data["metric"].isin(JUDGING)]
    seeds, words = sorted(data["seed"].unique()), vars(style.wording(data))
    alone = len(seeds) == 1
    with mpl.rc_context(style.STYLE):
        figure = Figure(figsize=(10 if alone else 5.2 * len(seeds), 5.2))
        axes = figure.subplots(1, len(seeds), sharey=True, squeeze=False)[0]
        for axis, seed in zip(axes, seeds, strict=True):
            for metric, (label, color) in JUDGING.items():
                of_seed = data[(data["seed"] == seed) & (data["metric"] == metric)]
                _trend(axis, of_seed, label.format_map(words), color)
            axis.set(xlabel="training step")
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
            style.percent(axis)
            axis.set_title("" if alone else f"training seed {seed}")
            axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2 if alone else 1)
        axes[0].set_ylabel("share of the step's rollouts")
        n = style.range_in_words(data[data["kind"] == "step"]["n"])
        _titles(figure, "The weak judge over training", data, f"{n} rollouts a step", "bars and bands")
        style.save(figure, out)


def _panel(axis: Axes, title: str, explanation: str) -> None:
    axis.set_title(title, pad=20)
    axis.text(0, 1.03, explanation, transform=axis.transAxes, fontsize=9, color=style.QUIET)
    axis.set(xlim=(-7, 107), xlabel="training progress", xticks=[0, 25, 50, 75, 100])
    axis.xaxis.set_major_formatter(PercentFormatter(100))
    style.percent(axis)
    axis.tick_params(labelleft=True)


def _curves(axis: Axes, measured: pd.DataFrame, metric: str, label: str, color: str, shift: float = 0) -> None:
    """One metric with its intervals, a curve a training seed; seeds stand side by side, all `shift` to the right."""
    seeds = sorted(measured["seed"].unique())
    for i, seed in enumerate(seeds):
        rows = measured[(measured["metric"] == metric) & (measured["seed"] == seed)].sort_values("progress")
        x = rows["progress"] + shift + (i - (len(seeds) - 1) / 2) * 1.2
        drawn = {"marker": style.SEED_MARKERS[i % len(style.SEED_MARKERS)], "markersize": 6, "markeredgecolor": "white"}
        drawn |= {"color": color, "linewidth": 2, "alpha": 1 - 0.25 * min(i, 2), "zorder": 4}
        axis.vlines(x, rows["low"], rows["high"], color=color, alpha=0.45, linewidth=2.2, zorder=3)
        axis.plot(x, rows["value"], label=label if i == 0 else None, **drawn)


def _rival(axis: Axes, data: pd.DataFrame, kind: str, metric: str, label: str, dashes: tuple) -> None:
    style.rival_line(axis, data[(data["kind"] == kind) & (data["metric"] == metric)], label, dashes)


def _published_points(axis: Axes, task: str, series: str) -> None:
    points = style.published_points(task, "reproduction")
    points = points[points["series"] == series]
    if points.empty:
        return
    drawn = {"color": style.SAND, "marker": "D", "markersize": 5, "markerfacecolor": "white", "linewidth": 1}
    x = pd.to_numeric(points["x"])  # 100 steps: the step is the percentage
    axis.plot(x, points["value"], alpha=0.75, zorder=2.5, label="Qwen3-8B, published", **drawn)


def _trend(axis: Axes, data: pd.DataFrame, label: str, color: str) -> None:
    """One rate a step as dots, its trend as a line with its interval, and the change over the run, where there are
    enough steps for a trend."""
    steps, line = (data[data["kind"] == kind].sort_values("step") for kind in ("step", "trend"))
    slope = data[data["kind"] == "slope"].iloc[0]
    run = line["step"].max() - line["step"].min()
    changes = [slope[key] * run for key in ("value", "low", "high")]
    known = "{} [{}, {}] points over the run".format
    change = "too few steps for a trend" if pd.isna(changes).any() else known(*map(style.points_in_words, changes))
    axis.vlines(steps["step"], steps["low"], steps["high"], color=color, alpha=0.13, linewidth=1.6, zorder=2)
    axis.scatter(steps["step"], steps["value"], color=color, s=20, alpha=0.55, linewidth=0, zorder=3)
    axis.fill_between(line["step"], line["low"], line["high"], color=color, alpha=0.16, linewidth=0, zorder=2)
    axis.plot(line["step"], line["value"], color=color, linewidth=2.4, label=f"{label}\n{change}", zorder=4)
    axis.margins(x=0.02)


def _titles(figure: Figure, subject: str, data: pd.DataFrame, n: str, interval: str) -> None:
    name = style.called(data["model"].iat[0], data["source"].iat[0])
    details = f"{n} · {style.seeds_in_words(data)} · {interval}: 95 % intervals"
    style.lay_out(figure, style.titles(figure, f"{subject}: {name}", details))
