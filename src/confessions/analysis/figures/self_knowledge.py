"""self_knowledge.png: does a confession know its own answer? Of every probe, by training step, what no constant and no
base rate can win: balanced accuracy within kind, AUROC, and how many reports are valid.

A curve is a training seed, with its intervals; plain models stand to the left of the steps. AUROC is by the probability
of the claim's token where it is known, else by what is claimed. The rivals are of the same answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from confessions.analysis import tables
from confessions.analysis.figures.style import (
    BASE_RATE,
    CONSTANT,
    HALF_OF_DASHES,
    QUIET,
    SAND,
    STYLE,
    called,
    called_variant,
    lay_out,
    legend,
    looks,
    percent,
    range_in_words,
    save,
    titles,
    wording,
)

WITHIN, AUROC, TOKEN_AUROC, VALID = "within_kind_balanced_accuracy", "auroc", "token_auroc", "report_valid"
QUALIFYING = "qualifying_kinds"
METRICS = {WITHIN: "balanced accuracy\nwithin kind", AUROC: "AUROC", VALID: "valid reports"}
CELL, RIVAL = "cell", {"base_rate": (SAND, "-"), "constants": (QUIET, HALF_OF_DASHES)}
LEVEL = 2  # names of plain models that stand level below an axis; those of more are turned
NUMBERS = ["value", "low", "high"]
NAMED = ["probe", "model", "seed", "step", "variant"]


def plot_self_knowledge(table: str | Path, out: str | Path) -> None:
    """Draw probes.csv: a column for each probe and wording of the request."""
    data = tables.read_probes(table, (*METRICS, TOKEN_AUROC, QUALIFYING))
    data = _ranked_by_token(data)
    columns = data[["probe", "variant"]].drop_duplicates().itertuples(index=False, name=None)
    panels = list(columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(9.0, 3.7 * len(panels)), 9.4))
        axes = figure.subplots(3, len(panels), squeeze=False, sharey="row", height_ratios=[1.5, 1.5, 0.8])
        places = _places(data)
        for column, (probe, variant) in zip(axes.T, panels, strict=True):
            found = data[(data["probe"] == probe) & (data["variant"] == variant)]
            for axis, metric in zip(column, METRICS, strict=True):
                _rivals(axis, found[found["metric"] == metric], places)
                _subjects(axis, found[found["metric"] == metric], places)
                axis.set_xticks(list(places.values()), _ticks(places), rotation=90 if _n_plain(places) > LEVEL else 0)
                axis.tick_params(labelbottom=axis is column[-1], labelleft=True)
            column[0].set_title(f"{probe}\n{called_variant(wording(found), variant)}", pad=20)
            column[0].text(0, 1.03, _qualifying(found), transform=column[0].transAxes, fontsize=9, color=QUIET)
            if data["seed"].notna().any():
                column[-1].set_xlabel("training step")
        for axis, words in zip(axes[:, 0], METRICS.values(), strict=True):
            axis.set_ylabel(words)
        legend(figure, _handles(data))
        heading = f"What confessions know of the answer: {called(data['experiment'].iat[0], data['source'].iat[0])}"
        n = range_in_words(data[(data["metric"] == VALID) & (data["kind"] == CELL)]["n"])
        details = f"{n} confessions a point · bars: 95 % intervals · an invalid report counts as wrong"
        lay_out(figure, titles(figure, heading, details))
        save(figure, out)


def _ranked_by_token(data: pd.DataFrame) -> pd.DataFrame:
    """The same with the AUROC by token in place of that by claim, where it is known."""
    keyed = data.set_index([*NAMED, "kind"])
    by_token = keyed[(keyed["metric"] == TOKEN_AUROC) & keyed["value"].notna()][NUMBERS]
    known = (keyed["metric"] == AUROC) & keyed.index.isin(by_token.index)
    keyed.loc[known, NUMBERS] = by_token.loc[keyed.index[known]].to_numpy()
    return keyed.reset_index()


def _places(data: pd.DataFrame) -> dict[tuple[str, float], float]:
    """Where each plain model (its label), and then each step of the policy, stands on the x axis."""
    plain = data[data["seed"].isna()]["label"].drop_duplicates()
    steps = sorted(data[data["seed"].notna()]["step"].unique())
    gap = (steps[-1] - steps[0]) / max(4, len(steps)) if len(steps) > 1 else 1
    first = steps[0] if steps else len(plain)
    models = {(label, 0.0): first - gap * (len(plain) - i) for i, label in enumerate(plain)}
    return models | {("", step): step for step in steps}


def _ticks(places: dict[tuple[str, float], float]) -> Sequence[str]:
    broken = "\n" if _n_plain(places) <= LEVEL else " "
    return [label.replace(" ", broken) or f"{step:g}" for label, step in places]


def _n_plain(places: dict[tuple[str, float], float]) -> int:
    return sum(label != "" for label, _ in places)


def _x(rows: pd.DataFrame, places: dict[tuple[str, float], float]) -> list[float]:
    plain = rows["seed"].isna()
    return [
        places[(label, 0.0) if alone else ("", step)]
        for label, alone, step in zip(rows["label"], plain, rows["step"], strict=True)
    ]


def _subjects(axis: Axes, found: pd.DataFrame, places: dict[tuple[str, float], float]) -> None:
    """A curve a training seed, side by side, and a point a plain model."""
    measured = found[found["kind"] == CELL]
    seeds, shift = measured["seed"].nunique(), 0.012 * (max(places.values()) - min(places.values()) or 1)
    for i, (label, own, look) in enumerate(looks(measured)):
        rows = measured[own].sort_values("step")
        aside = shift * (i - (seeds - 1) / 2) if rows["seed"].notna().all() else 0
        x = [place + aside for place in _x(rows, places)]
        axis.vlines(x, rows["low"], rows["high"], color=look["color"], alpha=0.5, linewidth=2)
        axis.plot(x, rows["value"], label=label, markersize=6, linewidth=1.6, zorder=4, **look)
    percent(axis)


def _rivals(axis: Axes, found: pd.DataFrame, places: dict[tuple[str, float], float]) -> None:
    """What each policy that sees no answer gets on the answers of each seed, and of each plain model."""
    for kind in (BASE_RATE, *CONSTANT):
        color, dashes = RIVAL.get(kind, RIVAL["constants"])
        rival = found[found["kind"] == kind]
        for _, own, _ in looks(rival):
            rows = rival[own].sort_values("step")
            style = {"color": color, "linestyle": dashes, "marker": "_", "markersize": 13, "linewidth": 1.5}
            axis.plot(_x(rows, places), rows["value"], label=kind, zorder=2, **style)


def _qualifying(found: pd.DataFrame) -> str:
    """How many kinds the balanced accuracy within kind is of."""
    rows = found[(found["metric"] == QUALIFYING) & (found["kind"] == CELL)]
    kinds, of = (range_in_words(rows[name].dropna()) if rows[name].notna().any() else "0" for name in ("value", "n"))
    return f"{kinds} of {of} kinds qualify"


def _handles(data: pd.DataFrame) -> list[Line2D]:
    subjects = [Line2D([], [], label=label, markersize=6, **look) for label, _, look in looks(data)]
    rivals = {"base_rate": "best claim by kind (base-rate rival)", "constants": "always Full, always None"}
    return subjects + [
        Line2D([], [], color=color, linestyle=dashes, label=rivals[name]) for name, (color, dashes) in RIVAL.items()
    ]
