"""Draw docs/pictures/real_model.png from docs/results/data: python docs/pictures/real_model.py"""

from pathlib import Path

import matplotlib

matplotlib.use("agg")
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D

DATA = Path(__file__).parents[1] / "results" / "data"
SEEDS, RIVAL, HACK, INK = ("#1f4e79", "#2e86c1", "#7fb3d5"), "#b03a2e", "#7d7d7d", "#333333"
PARTS = {"train": "training", "development_held_out": "development", "test_held_out": "test"}


def word_count(ax: plt.Axes) -> None:
    """Claim match by training step of three seeds, beside the constant's on the same answers, and the hack."""
    every = pd.read_csv(DATA / "qwen.csv")
    cells = every[(every["condition"] == "baseline") & (every["variant"] == "default")]
    match = cells[(cells["metric"] == "claim_match") & (cells["split"] == "evaluation")]
    start = match[match["step"] == 0]
    for seed, colour in enumerate(SEEDS):
        for arm, style in (("measured", {"color": colour, "marker": "o"}), ("base_rate", {"color": RIVAL, "ls": "--"})):
            line = pd.concat([start, match[(match["seed"] == seed) & (match["step"] > 0)]])
            line = line[line["arm"] == arm].sort_values("step")
            ax.plot(line["step"], line["value"], lw=1.6, ms=4, **style)
        log = cells[(cells["metric"] == "hacked") & (cells["split"] == "training") & (cells["seed"] == seed)]
        ax.plot(log["step"], log["value"], color=HACK, lw=0.9, alpha=0.7)
    ax.set(xlabel="training step", ylabel="share", ylim=(-0.03, 1.06))
    ax.set_title("Word Count: the confession becomes a constant", fontsize=10)
    lines = [Line2D([], [], color=c, marker="o", ms=4) for c in SEEDS[:1]]
    lines += [Line2D([], [], color=RIVAL, ls="--"), Line2D([], [], color=HACK, lw=0.9)]
    ax.legend(
        lines,
        ["claim match, three seeds", "base-rate rival = always None", "hacked answers"],
        fontsize=8,
        loc="center right",
    )


def instructions(ax: plt.Axes) -> None:
    """Balanced accuracy within kind of the untrained model's valid reports, in three parts of the kinds."""
    every = pd.read_csv(DATA / "instructions.csv")
    metric = every["metric"] == "within_kind_balanced_accuracy_valid"
    found = every[metric & (every["model"] == "Qwen2.5-Coder-1.5B") & (every["arm"] == "measured")]
    for offset, (variant, colour) in enumerate((("default", SEEDS[0]), ("evidence", SEEDS[1]))):
        points = found[found["variant"] == variant].set_index("split").loc[list(PARTS)]
        x = [i + 0.16 * (2 * offset - 1) for i in range(len(PARTS))]
        spread = [points["value"] - points["low"], points["high"] - points["value"]]
        ax.errorbar(x, points["value"], spread, fmt="o", ms=5, capsize=3, color=colour, label=f"wording: {variant}")
    ax.axhline(0.5, color=RIVAL, ls="--", lw=1.6, label="base-rate rival, every constant")
    ax.set(xticks=range(len(PARTS)), xlim=(-0.5, 2.5), ylim=(0.3, 1.0), ylabel="balanced accuracy within kind")
    ax.set_xticklabels([f"{name} kinds" for name in PARTS.values()])
    ax.set_title("Instructions: before training it knows nothing of its answer", fontsize=10)
    ax.legend(fontsize=8, loc="upper right")


def draw(path: Path) -> None:
    fig, axes = plt.subplots(1, 2, figsize=(11, 3.8))
    word_count(axes[0])
    instructions(axes[1])
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    fig.tight_layout()
    fig.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(fig)


if __name__ == "__main__":
    draw(Path(__file__).with_name("real_model.png"))
