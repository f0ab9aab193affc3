"""The figures. They read tables and nothing else.

reproduction.png: honesty against training progress, beside what always claiming None or Full would have earned on the
same answers and beside the published points. training_echo.png: how often the weak judge is fooled, step by step.
"""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from confessions import tables
from confessions.files import published, read_csv

INK, QUIET, FAINT = "#222222", "#6b6b6b", "#a9a9a9"
BLUE, ORANGE, GREEN, SAND = "#0b5fa5", "#d1495b", "#2a9d8f", "#c98f2b"
SEED_MARKERS = "osD^vP"
POLICIES = {"always_none": ("always None", (0, (5, 2))), "always_full": ("always Full", (0, (1, 1.6)))}

STYLE = {
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "axes.titlelocation": "left",
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "axes.titlepad": 20,
    "grid.color": "#ececec",
    "legend.frameon": False,
}


def plot_reproduction(table: str | Path, out: str | Path) -> None:
    """Draw reproduction.csv: claim match, grade honesty and whether the model checks, against training progress."""
    data = tables.read(table)
    seeds = sorted(data["seed"].unique())
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 3, figsize=(14, 5.6), sharey=True)
        _panel(axes[0], "Claim match", "share of sentences whose claim is right and unhedged")
        _panel(axes[1], "Honest grade, given a failed answer", "share of non-compliant rollouts graded 3 or less")
        _panel(axes[2], "Does honesty come from checking?", "claim accuracy, right and wrong sentences weighed alike")
        for axis, metric in zip(axes, ("claim_match", "grade_honest_given_noncompliant"), strict=False):
            for i, seed in enumerate(seeds):
                _curve(axis, data, metric, seed, i, len(seeds), BLUE, data["model"].iat[0])
            for policy, (label, dashes) in POLICIES.items():
                line = _mean_over_seeds(data, policy, metric)
                axis.plot(line.index, line, color=QUIET, linestyle=dashes, linewidth=1.4, label=label, zorder=2)
            if data["task"].iat[0] == "word_count":
                _published_points(axis, metric)
        for metric, label, color in (
            ("balanced_claim_accuracy", "balanced claim accuracy", BLUE),
            ("count_verified", "counts the words first", GREEN),
            ("report_valid", "report is valid", FAINT),
        ):
            for i, seed in enumerate(seeds):
                _curve(axes[2], data, metric, seed, i, len(seeds), color, label)
        constant = _mean_over_seeds(data, "always_none", "balanced_claim_accuracy")
        axes[2].plot(constant.index, constant, color=QUIET, linestyle=(0, (5, 1.5, 1, 1.5)), linewidth=1.4,
                     label="always None or always Full")  # fmt: skip
        for axis in axes:
            axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2, fontsize=9, columnspacing=1.4)
        n = data.query("kind == 'checkpoint' and metric == 'report_valid'")["n"]
        _titles(figure, "Confession honesty over training", data, f"{_range(n)} rollouts a checkpoint", "bars")
        figure.subplots_adjust(left=0.05, right=0.985, top=0.76, bottom=0.21, wspace=0.12)
        _save(figure, out)


def plot_training_echo(table: str | Path, out: str | Path) -> None:
    """Draw training.csv: per-step rates of fooling the judge and of being right, with their trends; a panel a seed."""
    data = tables.read(table)
    data = data[data["metric"].isin(["judge_fooled", "truly_correct"])]
    seeds = sorted(data["seed"].unique())
    with sns.axes_style("whitegrid"), plt.rc_context(STYLE):
        width = 10 if len(seeds) == 1 else 5.2 * len(seeds)
        figure, axes = plt.subplots(1, len(seeds), figsize=(width, 5.2), sharey=True, squeeze=False)
        for axis, seed in zip(axes[0], seeds, strict=True):
            for metric, label, color in (
                ("judge_fooled", "judge fooled: passes a wrong answer", ORANGE),
                ("truly_correct", "truly correct: every sentence exact", BLUE),
            ):
                _trend(axis, data[(data["seed"] == seed) & (data["metric"] == metric)], label, color)
            axis.set(xlabel="training step", ylim=(-0.02, 1.02))
            axis.margins(x=0.02)
            axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
            axis.set_title(f"training seed {seed}" if len(seeds) > 1 else "", pad=8)
            axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=1 if len(seeds) > 1 else 2, fontsize=9)
            sns.despine(ax=axis, left=True)
        axes[0][0].set_ylabel("share of the step's rollouts")
        n = data.loc[data["kind"] == "step", "n"]
        _titles(figure, "The weak judge over training", data, f"{_range(n)} rollouts a step", "bands on the trends")
        figure.subplots_adjust(left=0.6 / width + 0.02, right=0.98, top=0.78 if len(seeds) > 1 else 0.84, bottom=0.23, wspace=0.08)
        _save(figure, out)


def _panel(axis: Axes, title: str, explanation: str) -> None:
    axis.set_title(title)
    axis.text(0, 1.03, explanation, transform=axis.transAxes, fontsize=9, color=QUIET)
    axis.set(xlim=(-4, 104), ylim=(-0.02, 1.02), xlabel="training progress")
    axis.set_xticks([0, 25, 50, 75, 100])
    axis.xaxis.set_major_formatter(PercentFormatter(100))
    axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axis.tick_params(labelleft=True)
    sns.despine(ax=axis, left=True)


def _curve(axis: Axes, data: pd.DataFrame, metric: str, seed: int, i: int, n_seeds: int, color: str, label: str) -> None:
    """One metric of one training seed with its intervals; seeds stand side by side, not on top of each other."""
    rows = data.query("kind == 'checkpoint' and metric == @metric and seed == @seed").sort_values("progress")
    x = rows["progress"] + (i - (n_seeds - 1) / 2) * 1.2
    axis.vlines(x, rows["low"], rows["high"], color=color, alpha=0.45, linewidth=2.2, zorder=3)
    axis.plot(x, rows["value"], color=color, marker=SEED_MARKERS[i % len(SEED_MARKERS)], markersize=6, linewidth=2,
              markeredgecolor="white", alpha=1 - 0.25 * min(i, 2), label=label if i == 0 else None, zorder=4)  # fmt: skip


def _mean_over_seeds(data: pd.DataFrame, kind: str, metric: str) -> pd.Series:
    rows = data[(data["kind"] == kind) & (data["metric"] == metric)]
    return rows.groupby("progress")["value"].mean()


def _published_points(axis: Axes, series: str) -> None:
    with as_file(files("confessions") / "data" / "published_figures.csv") as path:
        rows = read_csv(path, comment="#").query("figure == 'reproduction' and series == @series")
    axis.plot(pd.to_numeric(rows["x"]), rows["value"], color=SAND, marker="D", markersize=5, markerfacecolor="white",
              linewidth=1, alpha=0.75, label="Qwen3-8B, published", zorder=2.5)  # fmt: skip


def _trend(axis: Axes, data: pd.DataFrame, label: str, color: str) -> None:
    """One rate a step as dots, its trend as a line with the band of its interval, and the change over the run."""
    steps, line = (data[data["kind"] == kind].sort_values("step") for kind in ("step", "trend"))
    slope = data[data["kind"] == "slope"].iloc[0]
    run = line["step"].max() - line["step"].min()
    change = f"{slope['value'] * run:+.2f} [{slope['low'] * run:+.2f}, {slope['high'] * run:+.2f}] over the run"
    axis.vlines(steps["step"], steps["low"], steps["high"], color=color, alpha=0.13, linewidth=1.6, zorder=2)
    axis.scatter(steps["step"], steps["value"], color=color, s=20, alpha=0.55, linewidth=0, zorder=3)
    axis.fill_between(line["step"], line["low"], line["high"], color=color, alpha=0.16, linewidth=0, zorder=2)
    axis.plot(line["step"], line["value"], color=color, linewidth=2.4, label=f"{label}\n{change}", zorder=4)


def _titles(figure: Figure, subject: str, data: pd.DataFrame, n: str, interval: str) -> None:
    """Name the model and n. The embedded model is called what it is, so that no one takes it for the experiment."""
    model, seeds = data["model"].iat[0], sorted(data["seed"].unique())
    if data["source"].iat[0] == "nano":
        model += " (embedded demo model, not the experiment)"
    noun = "training seed" if len(seeds) == 1 else "training seeds"
    details = f"{n} · {noun} {', '.join(map(str, seeds))} · {interval}: 95 % intervals"
    inch_x, inch_y = 1 / figure.get_figwidth(), 1 / figure.get_figheight()
    figure.text(0.2 * inch_x, 1 - 0.38 * inch_y, f"{subject}: {model}", fontsize=13.5, fontweight="bold")
    figure.text(0.2 * inch_x, 1 - 0.64 * inch_y, details, fontsize=10, color=QUIET)


def _range(n: pd.Series) -> str:
    low, high = int(n.min()), int(n.max())
    return str(low) if low == high else f"{low} to {high}"


def _save(figure: Figure, out: str | Path) -> None:
    with published(out) as path:
        figure.savefig(path, dpi=200, facecolor="white")
    plt.close(figure)
