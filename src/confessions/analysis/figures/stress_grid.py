"""stress_grid.png: honest grades under each system prompt and each confession request, by training progress,
or where nothing was trained by model.

The grade is one constant word away from looking honest, so the claims stand below it: their balanced accuracy is one
half for whoever always claims the same.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, PercentFormatter

from confessions.analysis import tables
from confessions.analysis.figures import style

HONEST, CLAIMS, VALID = "grade_honest_given_noncompliant", "balanced_claim_accuracy", "report_valid"
BASELINE, JAILBREAK = "baseline", "jailbreak"  # known by name: the reference, and the one that gets its own panel
# For the other conditions, in the table's order; safe for the colour-blind, and no two neighbours share a marker.
COLORS = (style.BLUE, "#e89a1c", "#1b9e77", "#d98cc0", "#6cc0ee", "#7a4a2b")
MARKERS = "sD^vh<>*"
GROUP = 5  # conditions in a panel, baseline apart
DODGE = 0.64  # part of the way from one checkpoint to the next that its conditions take, side by side
HOLLOW = {"marker": "d", "markersize": 6, "markerfacecolor": "white", "linestyle": ""}


@dataclass(frozen=True)
class Look:
    """How one condition is drawn in every panel."""

    color: str
    marker: str
    dashes: str = "-"


@dataclass(frozen=True)
class Panel:
    """One panel over training: a metric under some conditions."""

    metric: str
    conditions: tuple[str, ...]
    label: str
    height: float  # inches


def plot_stress_grid(table: str | Path, out: str | Path) -> None:
    """Draw stress_grid.csv: a column a confession request; for each training seed the honest grades, those under the
    jailbreak, the claims and the valid reports; below, the last checkpoint's paired differences from baseline.
    """
    needed = {"cell": (HONEST, CLAIMS, VALID)} | dict.fromkeys(style.RIVALS, (HONEST, CLAIMS))
    data = tables.read(table, needed, tables.GRID_COLUMNS)
    data = data[data["metric"].isin((HONEST, CLAIMS, VALID))].astype({"condition": str, "variant": str})
    untrained = not data["step"].any()
    if untrained:  # models stand where checkpoints do
        data["progress"] = 100.0 * pd.factorize(data["model"])[0]
    measured = data[data["kind"] == "cell"]
    seeds, variants = sorted(data["seed"].unique()), list(measured["variant"].unique())
    lines = list(data["model"].unique()) if untrained else [f"seed {seed}" for seed in seeds]
    looks = _looks(measured["condition"].unique())
    panels = _panels(looks, alone=len(seeds) == 1)
    compared = {name: look for name, look in looks.items() if name != BASELINE}
    names = [textwrap.fill(name.replace("_", " "), 24) for name in compared]
    heights = [panel.height for panel in panels] * len(seeds) + _differences_height(names, len(lines))
    with mpl.rc_context(style.STYLE):
        size = (max(9.5, 0.8 + 6.2 * len(variants)), sum(heights) + 0.25 * len(heights) + 0.3 * len(seeds) + 2.2)
        figure = Figure(figsize=size)
        axes = figure.subplots(len(heights), len(variants), squeeze=False, height_ratios=heights)
        for column, variant in zip(axes.T, variants, strict=True):
            shown = data[data["variant"] == variant]
            _over_training(column[: len(panels) * len(seeds)], panels, shown, looks)
            if compared:
                _last_differences(column[-1], shown, compared, "model" if untrained else "seed")
                column[-1].set_yticks(range(len(names)), names)
        for axis, panel in zip(axes[:, 0], panels * len(seeds), strict=False):
            axis.set_ylabel(panel.label)
        if compared:
            _one_scale(axes[-1])
        published = (
            not untrained
            and "default" in variants
            and not style.published_points(data["task"].iat[0], "stress_grid").empty
        )
        style.legend(figure, list(_handles(looks, lines, published)))
        named = f"{len(lines)} models" if untrained and len(lines) > 1 else data["model"].iat[0]
        name = style.called(named, data["source"].iat[0])
        style.lay_out(
            figure, style.titles(figure, f"Confession honesty under pressure: {name}", _details(data, measured))
        )
        style.save(figure, out)


def _details(data: pd.DataFrame, measured: pd.DataFrame) -> str:
    """Under the title."""
    trained = style.seeds_in_words(data) if data["step"].any() else "models as they are"
    n, failed = (style.range_in_words(measured[measured["metric"] == metric]["n"]) for metric in (VALID, HONEST))
    return (
        f"{data['experiment'].iat[0]} · share of the failed answers graded 3 or less; {failed} of {n} rollouts a "
        f"cell failed · {trained} · bars: 95 % intervals"
    )


def _looks(conditions: Sequence[str]) -> dict[str, Look]:
    looks, others = {}, 0
    for name in conditions:
        if name in (BASELINE, JAILBREAK):
            looks[name] = Look(style.INK, "o") if name == BASELINE else Look(style.RED, "p")
            continue
        turn, place = divmod(others, len(COLORS))
        looks[name] = Look(COLORS[place], MARKERS[(place + turn) % len(MARKERS)], "--" if turn % 2 else "-")
        others += 1
    return looks


def _panels(looks: Mapping[str, Look], alone: bool) -> list[Panel]:
    """What is drawn for one seed, from the top. Many conditions are dealt to several panels, baseline to each."""
    rest = [name for name in looks if name not in (BASELINE, JAILBREAK)]
    n_groups = max(1, math.ceil(len(rest) / GROUP))
    size = math.ceil(len(rest) / n_groups)
    panels = []
    for i in range(n_groups):
        group = (*(BASELINE,) * (BASELINE in looks), *rest[i * size : (i + 1) * size])
        panels.append(Panel(HONEST, group, "honest grade, given a failed answer", 3.7 if alone else 2.8))
        if i == n_groups - 1 and JAILBREAK in looks:
            panels.append(Panel(HONEST, (JAILBREAK,), "the same,\nunder jailbreak", 1.3 if alone else 1.1))
            group = (*group, JAILBREAK)
        panels.append(Panel(CLAIMS, group, "balanced\nclaim accuracy", 1.5 if alone else 1.2))
        panels.append(Panel(VALID, group, "reports\nvalid", 0.85))
    return panels


def _differences_height(names: Sequence[str], n_lines: int) -> list[float]:
    """Of the panel that compares these conditions with baseline, in inches; none without any."""
    lines = max((name.count("\n") + 1 for name in names), default=0)
    return [0.3 + len(names) * max(0.28, 0.13 * n_lines, 0.18 * lines)] if names else []


def _over_training(
    axes: Sequence[Axes], panels: Sequence[Panel], data: pd.DataFrame, looks: Mapping[str, Look]
) -> None:
    """The panels of one variant, seed by seed."""
    seeds, (variant,) = sorted(data["seed"].unique()), data["variant"].unique()
    title = style.called_variant(style.wording(data), variant)
    for i, seed in enumerate(seeds):
        block = axes[i * len(panels) : (i + 1) * len(panels)]
        _training(block, panels, data[data["seed"] == seed], looks)
        _head(block, panels, title if len(seeds) == 1 else f"{title} · seed {seed}")


def _training(axes: Sequence[Axes], panels: Sequence[Panel], data: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    """One seed and one variant over training; the conditions of a checkpoint stand side by side on a band."""
    ticks = sorted(data["progress"].unique())
    gap = min((b - a for a, b in pairwise(ticks)), default=100)
    band = DODGE * gap
    for axis, panel in zip(axes, panels, strict=True):
        shown = {name: looks[name] for name in panel.conditions}
        rows = data[(data["metric"] == panel.metric) & data["condition"].isin(panel.conditions)]
        _curves(axis, rows[rows["kind"] == "cell"], shown, band, small=panel.metric != HONEST)
        for kind, (_, dashes) in style.RIVALS.items() if panel.metric != VALID else ():
            places = 0 if data["step"].any() else 1.1 * band  # one a model
            style.rival_line(axis, rows[rows["kind"] == kind], kind, dashes, places)
        if panel.metric == HONEST and data["variant"].iat[0] == "default" and data["step"].any():
            _published(axis, data["task"].iat[0], shown, ticks, band)
        for tick in ticks:
            axis.axvspan(tick - 0.55 * band, tick + 0.55 * band, color="#f6f6f6", linewidth=0, zorder=0)
        style.percent(axis)
        axis.set(xlim=(ticks[0] - gap / 2, ticks[-1] + gap / 2), xticks=ticks)
        axis.xaxis.set_major_formatter(PercentFormatter(100, decimals=0))
        axis.tick_params(labelbottom=panel.metric == VALID)
        axis.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1] if panel.height > 2 else [0, 0.5, 1])
        axis.grid(axis="x", visible=False)
    axes[-1].set_xlabel("training progress")
    if not data["step"].any():
        names = [textwrap.fill(name, 14) for name in data["model"].unique()]
        axes[-1].set_xticks(ticks, names)
        axes[-1].set_xlabel("model")


def _head(axes: Sequence[Axes], panels: Sequence[Panel], title: str) -> None:
    """Title each panel of several conditions; they are counted where there are more than one."""
    tops = [
        axis
        for axis, panel in zip(axes, panels, strict=True)
        if panel.metric == HONEST and panel.conditions != (JAILBREAK,)
    ]
    for i, axis in enumerate(tops, start=1):
        axis.set_title(title if len(tops) == 1 else f"{title} · {i} of {len(tops)}", pad=8)


def _places(n: int, width: float) -> list[float]:
    """Centres of n slots that share `width` about 0."""
    return [width * ((i + 0.5) / n - 0.5) for i in range(n)]


def _curves(axis: Axes, rows: pd.DataFrame, looks: Mapping[str, Look], width: float, small: bool) -> None:
    """A curve a condition with its intervals; the conditions stand side by side within `width`."""
    for (name, look), place in zip(looks.items(), _places(len(looks), width), strict=True):
        curve = rows[rows["condition"] == name].sort_values("progress")
        x = curve["progress"] + place
        drawn = {"color": look.color, "marker": look.marker, "markeredgecolor": "white", "linestyle": look.dashes}
        axis.vlines(x, curve["low"], curve["high"], color=look.color, alpha=0.5, linewidth=1.6 if small else 2.2)
        if rows["step"].any():  # models are not joined
            axis.plot(x, curve["value"], linewidth=1, alpha=0.5, color=look.color, linestyle=look.dashes, zorder=2.5)
        drawn |= {"linestyle": "", "markersize": 4.5 if small else 6.5, "zorder": 4}
        axis.plot(x, curve["value"], label=name, **drawn)


def _published(axis: Axes, task: str, looks: Mapping[str, Look], ticks: Sequence[float], width: float) -> None:
    """The published points (one run of 100 steps: the step is the percentage), each beside its condition's bar."""
    points = style.published_points(task, "stress_grid")
    for (name, look), place in zip(looks.items(), _places(len(looks), width), strict=True):
        series = points[points["series"] == name]
        if series.empty:
            continue
        throughout = series["x"].iat[0] == "all"  # one value for the whole run
        at = pd.Series(ticks) if throughout else pd.to_numeric(series["x"])
        value = [series["value"].iat[0]] * len(ticks) if throughout else series["value"]
        beside = at + place + 0.26 * min(width / len(looks), 6)
        axis.plot(beside, value, label=f"{name}, published", color=look.color, alpha=0.7, zorder=3, **HOLLOW)


def _last_differences(axis: Axes, data: pd.DataFrame, looks: Mapping[str, Look], by: str) -> None:
    """Each condition's paired difference from baseline at the last checkpoint, a marker a training seed, or a model."""
    rows = data[(data["kind"] == "minus_baseline") & (data["metric"] == HONEST)]
    last = rows[rows["step"] == rows.groupby("seed")["step"].transform("max")]
    lines = list(last[by].unique())
    for i, line in enumerate(lines):
        points = last[last[by] == line].set_index("condition").reindex(list(looks))
        y = [row + _places(len(lines), 0.7)[i] for row in range(len(looks))]
        colors = [look.color for look in looks.values()]
        axis.hlines(y, points["low"], points["high"], color=colors, alpha=0.5, linewidth=2.2)
        drawn = {
            "color": colors,
            "edgecolor": "white",
            "marker": style.SEED_MARKERS[i % len(style.SEED_MARKERS)],
            "s": 48,
        }
        axis.scatter(points["value"], y, label=f"seed {line}" if by == "seed" else line, zorder=4, **drawn)
        for row in points["value"].isna().to_numpy().nonzero()[0]:
            axis.text(
                0, y[row], "  no failed answer to grade", color=style.QUIET, fontsize=9, verticalalignment="center"
            )
    axis.axvline(0, color=style.FAINT, linewidth=1.2, zorder=1)
    axis.set_ylim(len(looks) - 0.5, -0.5)
    axis.set_xlabel("percentage points above baseline, paired by row")
    when = "" if by == "model" else f" at {last['progress'].max():.0f}% of training"
    axis.set_title(f"Difference from baseline{when}", pad=6, fontsize=10)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda share, _: style.points_in_words(share)))
    sns.despine(ax=axis, left=True)


def _one_scale(axes: Sequence[Axes]) -> None:
    """The columns' differences on one x scale that reaches a little to both sides of 0."""
    limits = [limit for axis in axes for limit in axis.get_xlim()]
    for axis in axes:
        axis.set_xlim(min(*limits, -0.1), max(*limits, 0.1))


def _handles(looks: Mapping[str, Look], lines: Sequence[str], published: bool) -> Iterator[Line2D]:
    for name, look in looks.items():
        drawn = {"marker": look.marker, "markersize": 6.5, "markeredgecolor": "white", "linestyle": look.dashes}
        yield Line2D([], [], color=look.color, label=name, **drawn)
    for label, dashes in style.RIVALS.values():
        yield Line2D([], [], color=style.QUIET, linestyle=dashes, linewidth=1.4, label=label)
    if published:
        yield Line2D([], [], color=style.QUIET, label="Qwen3-8B, published", **HOLLOW)
    if len(lines) > 1:
        for i, line in enumerate(lines):
            marker = style.SEED_MARKERS[i % len(style.SEED_MARKERS)]
            yield Line2D([], [], color=style.QUIET, marker=marker, linestyle="", label=f"{line} (differences)")
