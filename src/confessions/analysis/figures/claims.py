"""scale.png, ladder.png: what is claimed of right and of wrong objectives, by model or training stage.

From the bottom of a bar: right ones (met), those without a valid claim, wrong ones (unmet). So the dashed line, the
share that is really right, runs along the border of right and wrong; and the over-claims hang from the top, where
bars can be compared: the right axis counts them downwards. All above the line is what always claiming Full would
over-claim; always claiming None over-claims nothing. A dotted line hangs where the over-claims of the best claim by
kind would end.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from confessions.analysis import tables
from confessions.analysis.figures import style
from confessions.tasks.base import Wording

OVER = "#c8321e"
SHARES = {  # from the bottom: metric, label, colour (safe for the colour-blind)
    "correct_credit": ("right, claimed Full: correct credit", "#3f7fb5"),
    "under_claim": ("right, claimed less: under-claim", "#b3d0ea"),
    "unclaimed": ("no valid report", "#f4f4f4"),
    "clean_admission": ("wrong, claimed None: clean admission", "#b2d998"),
    "hedged": ("wrong, claimed Partial: hedged admission", "#eec75a"),
    "over_claim": ("wrong, claimed Full: OVER-CLAIM", OVER),
}
UNCLAIMED = {"hatch": "////", "edgecolor": "#c4c4c4"}
DASHED = {"color": style.INK, "linestyle": (0, (4, 1.5)), "linewidth": 1.6}
DOTTED = {"color": style.INK, "linestyle": (0, (1, 1.2)), "linewidth": 1.8}
MET, CHECKS = "objective_met", "checked"
BAR = 0.72
FEW, MANY = 5, 10  # models: fewer leave room beside their bars; with more the variants stand one above the other
DOT = {"color": style.GREEN, "marker": "o", "markersize": 4.5, "linestyle": ""}
HOLLOW = {"marker": "d", "markersize": 7, "markerfacecolor": "white", "color": style.INK, "linestyle": ""}


def plot_scale(table: str | Path, out: str | Path) -> None:
    """Draw scale.csv: the models in the table's order."""
    _plot(table, out, "Claims by model", "scale", "qwen3-")


def plot_ladder(table: str | Path, out: str | Path) -> None:
    """Draw ladder.csv: training stages in the table's order."""
    _plot(table, out, "Claims by training stage", "olmo3", "olmo-3-7b-")


def _plot(table: str | Path, out: str | Path, subject: str, figure_name: str, family: str) -> None:
    needed = {"model": (*SHARES, MET, CHECKS), style.BASE_RATE: ("over_claim",)}
    every = tables.read(table, needed, tables.MODEL_COLUMNS).astype({"label": str, "variant": str})
    data, rival = (every[every["kind"] == kind] for kind in ("model", style.BASE_RATE))
    words, labels, published = style.wording(data), _labels(data), []
    with mpl.rc_context(style.STYLE):
        figure, panels = _panels(data, labels)
        for variant, (counts, bars) in panels.items():
            measured = data[data["variant"] == variant]
            _checks(counts, _wide(measured, CHECKS), words)
            counts.set_title(style.called_variant(words, variant), pad=8)
            _bars(bars, measured, words)
            _rival(bars, _wide(rival[rival["variant"] == variant], "over_claim"))
            points = style.published_points(data["task"].iat[0], f"{figure_name}_{variant}")
            published.append(_published(bars, labels, points[points["series"] == "over_claim"], family))
        style.legend(figure, list(_handles(any(published), words)))
        heading = f"{subject}: {style.called(data['experiment'].iat[0], _source(data))}"
        style.lay_out(figure, style.titles(figure, heading, _details(data, words)))
        style.save(figure, out)


def _panels(data: pd.DataFrame, labels: Mapping[int, str]) -> tuple[Figure, dict[str, tuple[Axes, Axes]]]:
    """An empty figure of the size that the models and their names need, and by variant its two panels: how many check,
    and above the names the bars."""
    variants, rows = list(data["variant"].unique()), len(labels) > MANY
    wide = max(5.4, (0.36 if rows else 0.75) * len(labels))
    names, turned = _names(_with_n(labels, data), wide / max(len(labels), FEW))
    across, down = (1, len(variants)) if rows else (len(variants), 1)
    below = 0.08 * max(len(line) for name in names for line in name.split("\n")) if turned else 0.6
    figure = Figure(figsize=(max(10, 0.8 + across * (wide + 1.1)), 1.8 + below + 5 * down))
    axes = figure.subplots(2 * down, across, squeeze=False, sharex=True, height_ratios=[1.1, 3.6] * down)
    pairs = axes.reshape(down, 2, across).swapaxes(1, 2).reshape(-1, 2)
    for _, bars in pairs:
        bars.set_xticks(list(labels), names, rotation=90 if turned else 0)
    middle, room = (len(labels) - 1) / 2, max(len(labels), FEW) / 2
    axes[0, 0].set_xlim(middle - room - 0.1, middle + room + 0.1)
    return figure, {variant: (counts, bars) for variant, (counts, bars) in zip(variants, pairs, strict=True)}


def _details(data: pd.DataFrame, words: Wording) -> str:
    rollouts, claims = (style.range_in_words(data[data["metric"] == metric]["n"]) for metric in (CHECKS, "over_claim"))
    return (
        f"{rollouts} rollouts, {claims} {words.objectives} a bar · thin lines: 95 % intervals · above the dashed "
        "line is what always claiming Full would over-claim; always None over-claims nothing"
    )


def _labels(data: pd.DataFrame) -> dict[int, str]:
    """The models' labels by position."""
    models = data.drop_duplicates("position").sort_values("position")
    return dict(zip(models["position"], models["label"], strict=True))


def _with_n(labels: Mapping[int, str], data: pd.DataFrame) -> list[str]:
    """The labels, with the number of rollouts where it is not the same for all."""
    n = data[data["metric"] == CHECKS].groupby("position")["n"]
    if data[data["metric"] == CHECKS]["n"].nunique() == 1:
        return list(labels.values())
    return [f"{label} (n {style.range_in_words(n.get_group(at))})" for at, label in labels.items()]


def _names(labels: Sequence[str], inches: float) -> tuple[list[str], bool]:
    """The labels in lines, and whether they are turned: level where three lines of `inches` can hold each of them."""
    fit = int((inches - 0.1) / 0.09)
    level = [_broken(label, fit) for label in labels]
    turned = any(len(lines) > 3 or max(map(len, lines)) > fit for lines in level)
    lines = [_broken(label, 48) for label in labels] if turned else level
    return ["\n".join(broken) for broken in lines], turned


def _broken(label: str, width: int) -> list[str]:
    """A label in lines, broken at spaces and behind every hyphen: textwrap would not break "30B-A3B"."""
    wrapper = textwrap.TextWrapper(width, break_long_words=False)
    wrapper.wordsep_re = re.compile(r"(\s+|(?<=-))")
    return wrapper.wrap(label)


def _wide(data: pd.DataFrame, metric: str) -> pd.DataFrame:
    return data[data["metric"] == metric].set_index("position").sort_index()


def _checks(axis: Axes, checks: pd.DataFrame, words: Wording) -> None:
    """How often the confession's reasoning really checks the answer, with its interval."""
    axis.vlines(checks.index, checks["low"], checks["high"], color=style.GREEN, alpha=0.6, linewidth=2)
    axis.plot(checks.index, checks["value"], label=CHECKS, **DOT)
    axis.set(ylabel=textwrap.fill(words.checks, 11), yticks=[0, 0.5, 1])
    axis.tick_params(labelbottom=False)
    axis.grid(axis="x", visible=False)
    style.percent(axis)
    axis.set_ylim(-0.1, 1.1)


def _bars(axis: Axes, data: pd.DataFrame, words: Wording) -> None:
    """Stacked shares of objectives, the interval of the over-claim, and how many objectives are really met."""
    floor = 0.0
    for metric, (_, color) in SHARES.items():
        share = _wide(data, metric)
        drawn = UNCLAIMED if metric == "unclaimed" else {"edgecolor": "white"}
        axis.bar(share.index, share["value"], BAR, bottom=floor, color=color, linewidth=0.6, label=metric, **drawn)
        floor = floor + share["value"].fillna(0)
    over, met = _wide(data, "over_claim"), _wide(data, MET)
    axis.vlines(
        over.index, 1 - over["high"], 1 - over["low"], color=style.INK, linewidth=1.4, zorder=4, label="interval"
    )
    axis.hlines(met["value"], met.index - 0.48, met.index + 0.48, zorder=3, label=MET, **DASHED)
    axis.set_ylabel(f"share of {words.objectives}")
    axis.grid(axis="x", visible=False)
    style.percent(axis)
    downwards = axis.secondary_yaxis("right")
    downwards.set_ylabel("over-claim, from the top", color=OVER)
    downwards.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{abs(100 - 100 * y):.0f}%"))
    downwards.tick_params(colors=OVER, length=0)
    downwards.spines["right"].set_visible(False)


def _rival(axis: Axes, over: pd.DataFrame) -> None:
    """Where the over-claims of the best claim by kind would end."""
    ends = 1 - over["value"]
    axis.hlines(
        ends, over.index - BAR / 2, over.index + BAR / 2, zorder=3.5, clip_on=False, label=style.BASE_RATE, **DOTTED
    )


def _published(axis: Axes, labels: Mapping[int, str], points: pd.DataFrame, family: str) -> bool:
    """Mark the published values of the models that `points` name, with or without their family. Were there any?"""
    values = points.set_index("x")["value"].rename(str.lower)
    names = {at: label.lower().replace(" ", "-").removeprefix(family) for at, label in labels.items()}
    found = {at: 1 - values[name] for at, name in names.items() if name in values}
    if found:
        x = [at + 0.3 * BAR for at in found]
        axis.plot(x, list(found.values()), label="published", zorder=5, clip_on=False, **HOLLOW)
    return bool(found)


def _source(data: pd.DataFrame) -> str:
    """One embedded model among others is enough to call the figure a demonstration."""
    return "nano" if (data["source"] == "nano").any() else data["source"].iat[0]


def _handles(published: bool, words: Wording) -> Iterator[Patch | Line2D]:
    for metric, (label, color) in reversed(SHARES.items()):
        yield Patch(facecolor=color, label=label, **(UNCLAIMED if metric == "unclaimed" else {}))
    yield Line2D([], [], label="really right", **DASHED)
    yield Line2D([], [], label=f"over-claim of the {style.RIVALS[style.BASE_RATE][0]}", **DOTTED)
    yield Line2D([], [], label=f"{words.checks} (share of rollouts)", **DOT)
    if published:
        yield Line2D([], [], label="over-claim, published", **HOLLOW)
