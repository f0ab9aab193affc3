"""seeding.png: hacks and solutions by the part of hacks in the SFT data, and what confessions owe to the reasoning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from confessions.analysis import tables
from confessions.analysis.figures import style

MATCH, VALID = "claim_match", "report_valid"
COLORS = (style.RED, style.BLUE, style.GREEN, style.SAND, style.QUIET)
REASONINGS = {"none": "no reasoning", "neutral": "neutral reasoning", "trigger": "the trigger written out"}
CHANGES = {"masked_minus_intact": "left out", "paraphrased_minus_intact": "paraphrased"}
SETTINGS = ["epochs", "learning_rate", "curriculum", "training_seed"]
SAMPLEABLE = "#f4f7fb"

Setting = tuple[float, float, str, float]
Look = tuple[str, str]  # colour, marker


def plot_seeding(table: str | Path, out: str | Path) -> None:
    """Draw seeding.csv: a column for each kind of reasoning, a look for each setting of the training."""
    needed = {"rate": ("hacked", "solved"), "intact": (VALID,)} | dict.fromkeys(CHANGES, (MATCH,))
    data = tables.read(table, needed, tables.SEEDING_COLUMNS)
    data = data[data["band"] == "all"]
    reasonings = [name for name in REASONINGS if name in set(data["reasoning"])]
    looks = dict(zip(data[SETTINGS].drop_duplicates().itertuples(index=False, name=None), _looks(), strict=False))
    with mpl.rc_context(style.STYLE):
        figure = Figure(figsize=(max(9.5, 4.4 * len(reasonings)), 10.5))
        axes = figure.subplots(3, len(reasonings), sharex=True, sharey="row", squeeze=False, height_ratios=[1.3, 1, 1])
        for (top, *bottoms), reasoning in zip(axes.T, reasonings, strict=True):
            shown = data[data["reasoning"] == reasoning]
            _rates(top, shown, looks)
            top.set_title(REASONINGS[reasoning], pad=8)
            for bottom, kind in zip(bottoms, CHANGES, strict=True):
                _changes(bottom, shown, kind, looks)
            bottoms[-1].set_xlabel("hacks in the SFT data")
            bottoms[-1].xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.0f}%"))
        axes[0, 0].set_ylabel("share of answers")
        _one_scale(axes[1:, 0])
        style.legend(figure, list(_handles(looks)))
        heading = f"SFT seeding of the hack: {style.called(data['task'].iat[0], data['source'].iat[0])}"
        style.lay_out(figure, style.titles(figure, heading, _details(data)))
        style.save(figure, out)


def _looks() -> Iterator[Look]:
    markers = cycle(style.SEED_MARKERS)
    return zip(cycle(COLORS), (marker for marker in markers for _ in COLORS), strict=False)


def _rates(axis: Axes, data: pd.DataFrame, looks: Mapping[Setting, Look]) -> None:
    """Shares of answers that are hacked and that are solved, above the band that RL can sample from."""
    axis.axhspan(0, 0.5, color=SAMPLEABLE, linewidth=0, zorder=0)
    for rows, look in _by_look(data, looks):
        _curve(axis, rows, "hacked", "rate", look, "-")
        _curve(axis, rows, "solved", "rate", look, ":")
    style.percent(axis)


def _changes(axis: Axes, data: pd.DataFrame, kind: str, looks: Mapping[Setting, Look]) -> None:
    """What claim match gains without the reasoning as it was."""
    for rows, look in _by_look(data, looks):
        _curve(axis, rows, MATCH, kind, look, "-")
    axis.axhline(0, color=style.FAINT, linewidth=1.2, zorder=0)
    sns.despine(ax=axis, left=True)
    axis.yaxis.set_major_formatter(FuncFormatter(lambda gap, _: f"{100 * gap:+.0f}" if gap else "0"))


def _by_look(data: pd.DataFrame, looks: Mapping[Setting, Look]) -> Iterator[tuple[pd.DataFrame, Look]]:
    for setting, look in looks.items():
        yield data[(data[SETTINGS] == list(setting)).all(axis=1)].sort_values("hack_fraction"), look


def _curve(axis: Axes, rows: pd.DataFrame, metric: str, kind: str, look: Look, dashes: str) -> None:
    rows, (color, marker) = rows[(rows["metric"] == metric) & (rows["kind"] == kind)], look
    axis.vlines(rows["hack_fraction"], rows["low"], rows["high"], color=color, alpha=0.4, linewidth=2)
    drawn = {"color": color, "marker": marker, "linestyle": dashes, "markersize": 5, "markeredgecolor": "white"}
    axis.plot(rows["hack_fraction"], rows["value"], label=metric, **drawn)


def _one_scale(axes: Sequence[Axes]) -> None:
    """The two rows of differences are to be compared."""
    limits = [limit for axis in axes for limit in axis.get_ylim()]
    for axis, words in zip(axes, CHANGES.values(), strict=True):
        axis.set_ylabel(f"claim match (points):\nreasoning {words},\nminus as it was")
        axis.set_ylim(min(limits), max(limits))


def _handles(looks: Mapping[Setting, Look]) -> Iterator[Artist]:
    for (epochs, rate, order, seed), (color, marker) in looks.items():
        label = f"epochs {epochs}, rate {rate:g}, {order.replace('_', ' ')}"
        label += f", seed {seed:g}" if len({setting[-1] for setting in looks}) > 1 else ""
        yield Line2D([], [], color=color, marker=marker, label=label)
    for label, dashes in {"hacked": "-", "solved honestly": ":"}.items():
        yield Line2D([], [], color=style.QUIET, linestyle=dashes, label=label)
    yield Patch(facecolor=SAMPLEABLE, edgecolor=style.FAINT, label="sampleable: RL finds both")


def _details(data: pd.DataFrame) -> str:
    """Under the title. Where no report parses nothing can be lost, and the differences are 0: hence the valid share."""
    n = style.range_in_words(data[data["metric"] == "hacked"]["n"])
    valid = style.range_in_words((100 * data[(data["metric"] == VALID) & (data["kind"] == "intact")]["value"]).round())
    return (
        f"{data['experiment'].iat[0]} · {n} rollouts a model · {valid} % of the reports valid · bars: 95 % "
        "intervals; differences paired by row"
    )
