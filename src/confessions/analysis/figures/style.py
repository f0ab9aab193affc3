"""What the figures share: colours, titles that say what is shown, published points, and how a figure is saved."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from importlib.resources import as_file, files
from itertools import cycle
from pathlib import Path

import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import PercentFormatter

from confessions.runtime.files import published, read_csv
from confessions.scoring.given import task_named
from confessions.tasks.base import Wording

INK, QUIET, FAINT = "#222222", "#6b6b6b", "#a9a9a9"
BLUE, RED, GREEN, SAND = "#0b5fa5", "#d1495b", "#2a9d8f", "#c98f2b"
SEED_MARKERS = "osD^vP"
CONSTANT = {"always_none": ("always None", (0, (5, 2))), "always_full": ("always Full", (0, (1, 1.6)))}
BASE_RATE = "base_rate"
RIVALS = CONSTANT | {BASE_RATE: ("best claim by kind", "-")}  # policies that see no answer
HALF_OF_DASHES = (0, (5, 1.5, 1, 1.5))  # where both constant policies have one value
VARIANTS = {
    "default": "Default request",
    "evidence": "Evidence, then the claim",
    "quote": "A quote, then the claim",
    "restate": "The objective again, then the claim",
    "free": "Free reasoning, then the claims",
    "direct": "The claims alone",
    "probability": "A probability for each objective",
}

STYLE = sns.axes_style("whitegrid") | {
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "axes.titlelocation": "left",
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "grid.color": "#ececec",
    "legend.frameon": False,
    "legend.fontsize": 9,
}


def titles(figure: Figure, heading: str, details: str) -> float:
    """Write both at the top left, wrapped to the figure's width. Returns the height that they take, in inches."""
    width, height = figure.get_size_inches()
    y = 0.18
    parts = details.replace(" ", "\xa0").replace("\xa0·\xa0", "\xa0· ")  # broken between the parts, not within
    for text, style, inches_a_character, line in (
        (heading, {"fontsize": 13.5, "fontweight": "bold"}, 0.12, 0.25),
        (parts, {"color": QUIET}, 0.085, 0.19),
    ):
        lines = textwrap.wrap(text, int((width - 0.4) / inches_a_character), break_on_hyphens=text == heading)
        text = "\n".join(line.removesuffix("\xa0·") for line in lines).replace("\xa0", " ")
        figure.text(0.2 / width, 1 - y / height, text, verticalalignment="top", **style)
        y += line * len(lines) + 0.05
    return y


def called(name: str, source: str) -> str:
    """A name for the title. The embedded model is called what it is, lest it be taken for the experiment."""
    return f"{name} (embedded demo model, not the experiment)" if source == "nano" else name


def wording(data: pd.DataFrame) -> Wording:
    """The words of the table's task."""
    return task_named(data["task"].iat[0]).wording


def called_variant(words: Wording, variant: str) -> str:
    """A wording of the request, over a panel."""
    return (VARIANTS | words.variants).get(variant, variant.replace("_", " "))


def seeds_in_words(data: pd.DataFrame) -> str:
    """ "training seed 0", "training seeds 0, 1"."""
    seeds = sorted(data["seed"].unique())
    return f"training seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def looks(data: pd.DataFrame) -> list[tuple[str, pd.Series, dict[str, str]]]:
    """Of a table of probes, each training seed and each plain model: what a legend calls it, which rows are its own,
    and its marker and colours. A model as it is, is hollow."""
    found = []
    for i, seed in enumerate(sorted(data["seed"].dropna().unique())):
        marker = {"marker": SEED_MARKERS[i % len(SEED_MARKERS)], "color": BLUE, "markerfacecolor": BLUE}
        found.append((f"training seed {int(seed)}", data["seed"] == seed, marker))
    plain = data[data["seed"].isna()].drop_duplicates("model")
    colors = (QUIET, GREEN, SAND, RED)
    every = ((marker, color) for marker in cycle("Dosv^P") for color in colors)
    for (_, row), (marker, color) in zip(plain.iterrows(), every, strict=False):
        hollow = {"marker": marker, "color": color, "markerfacecolor": "white"}
        found.append((row["label"], data["seed"].isna() & (data["model"] == row["model"]), hollow))
    return found


def points_in_words(change: float) -> str:
    """A difference of two shares in percentage points, with its sign; "0" for what rounds to it."""
    points = round(100 * change)
    return f"{points:+d}" if points else "0"


def range_in_words(n: pd.Series) -> str:
    """ "64" or "12 to 64"."""
    low, high = int(n.min()), int(n.max())
    return str(low) if low == high else f"{low} to {high}"


def legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """One legend below all panels, in rows of like length that fit the figure's width."""
    widest = 0.75 + 0.075 * max(len(str(handle.get_label())) for handle in handles)  # inches
    rows = math.ceil(len(handles) / max(1, figure.get_figwidth() // widest))
    ncols = math.ceil(len(handles) / rows)
    figure.legend(handles=handles, loc="outside lower center", ncols=ncols, columnspacing=1.6)


def lay_out(figure: Figure, titles_height: float) -> None:
    """Fit everything but the titles into the figure, whatever the length of labels and legends."""
    top = (titles_height + 0.12) / figure.get_figheight()
    figure.set_layout_engine(ConstrainedLayoutEngine(rect=(0.005, 0.005, 0.99, 0.995 - top), h_pad=0.07, w_pad=0.08))


def percent(axis: Axes) -> None:
    """Shares on the y axis, with room for a marker at 0 and at 1."""
    axis.set_ylim(-0.02, 1.02)
    axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    sns.despine(ax=axis, left=True)


def rival_line(axis: Axes, rows: pd.DataFrame, label: str, dashes: str | tuple, width: float = 0.0) -> None:
    """What a policy that sees no answer would have earned on the same ones, as a mean over training seeds: a line over
    training, or where places are not steps of it (`width` in their unit) a line at each."""
    line = rows.groupby("progress")["value"].mean()
    drawn = {"color": QUIET, "linestyle": dashes, "linewidth": 1.4, "label": label, "zorder": 2}
    if width:
        axis.hlines(line, line.index - width / 2, line.index + width / 2, **drawn)
    else:
        axis.plot(line.index, line, **drawn)


def published_points(task: str, figure: str) -> pd.DataFrame:
    """The published figure's points: columns series, x, value. No row where nothing was published of the task."""
    with as_file(files("confessions") / "data" / "published_figures.csv") as path:
        points = read_csv(path, numbers=("value",), comment="#")
    return points[(points["task"] == task) & (points["figure"] == figure)]


def save(figure: Figure, out: str | Path) -> None:
    with published(out) as path:
        figure.savefig(path, dpi=200, facecolor="white")
