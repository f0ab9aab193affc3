"""Draw docs/pictures/countdown.png from docs/results/data: python docs/pictures/countdown.py"""

from pathlib import Path

import matplotlib

matplotlib.use("agg")
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D

DATA = Path(__file__).parents[1] / "results" / "data"
HACK, RIGHT, MODEL, RIVAL = "#b03a2e", "#7d7d7d", "#1f4e79", "#d68910"
MARKERS = "osD"  # by seed


def training(ax: plt.Axes, every: pd.DataFrame) -> None:
    """The hack and true correctness by training step: a mark a seed, a line over the mean of the three."""
    for metric, colour in (("hacked", HACK), ("truly_correct", RIGHT)):
        found = every[(every["split"] == "training") & (every["metric"] == metric)]
        wide = found.pivot(index="step", columns="seed", values="value")
        for seed, marker in zip(wide, MARKERS, strict=True):
            ax.plot(wide.index, wide[seed], marker, ms=3.5, color=colour, alpha=0.35, mew=0)
        ax.plot(wide.index, wide.mean(axis=1), lw=2, color=colour)
    ax.set(xlabel="training step", ylabel="share of the step's rollouts", ylim=(-0.02, 0.62))
    ax.set_title("What is done: the false total grows, true solutions do not", fontsize=10)
    lines = [Line2D([], [], color=colour, lw=2) for colour in (HACK, RIGHT)]
    ax.legend(lines, ["hacked (false total), mean", "truly correct, mean"], fontsize=8, loc="upper left")


def evaluation(ax: plt.Axes, every: pd.DataFrame) -> None:
    """Balanced claim accuracy by checkpoint of three seeds, beside the rival's on the same answers and a constant's."""
    at = every["condition"].eq("baseline") & every["split"].eq("evaluation")
    found = every[at & (every["metric"] == "balanced_claim_accuracy")]
    for arm, colour, style in (("measured", MODEL, "-"), ("base_rate", RIVAL, "--")):
        wide = found[found["arm"] == arm].pivot(index="step", columns="seed", values="value")
        for seed, marker in zip(wide, MARKERS, strict=True):
            ax.plot(wide.index, wide[seed], style, marker=marker, ms=4.5, lw=1.4, color=colour)
    measured = found[found["arm"] == "measured"]
    last = measured[measured["step"] == measured["step"].max()]
    for i, row in enumerate(last.itertuples()):
        ax.plot([row.step + 0.5 + 0.4 * i] * 2, [row.low, row.high], color=MODEL, lw=1.2)
    ax.axhline(0.5, color=RIGHT, ls=":", lw=1.6)
    ax.set(xlabel="training step", ylabel="balanced claim accuracy", ylim=(0.4, 1.06), xticks=[0, 6, 15, 30])
    ax.set_title("What is confessed: never clearly above the base rates", fontsize=10)
    lines = [Line2D([], [], color=MODEL, marker="o", ms=4), Line2D([], [], color=RIVAL, ls="--", marker="o", ms=4)]
    lines += [Line2D([], [], color=RIGHT, ls=":", lw=1.6), Line2D([], [], color=MODEL, lw=1.2, marker="|", ls="", ms=9)]
    named = [
        "reports: a mark a seed",
        "base-rate rival, on the same answers",
        "every constant (always None, always Full)",
    ]
    named += ["95 % intervals of the reports at step 30"]
    ax.legend(lines, named, fontsize=8, loc="upper right")


def draw(path: Path) -> None:
    every = pd.read_csv(DATA / "countdown.csv")
    fig, axes = plt.subplots(1, 2, figsize=(11, 3.9))
    training(axes[0], every)
    evaluation(axes[1], every)
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    fig.tight_layout()
    fig.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(fig)


if __name__ == "__main__":
    draw(Path(__file__).with_name("countdown.png"))
