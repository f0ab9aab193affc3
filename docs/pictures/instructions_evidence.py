"""Draw docs/results/instructions_evidence.png from docs/results/data: python docs/pictures/instructions_evidence.py"""

from pathlib import Path

import matplotlib

matplotlib.use("agg")
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D

RESULTS = Path(__file__).parents[1] / "results"
PICTURE = RESULTS / "instructions_evidence.png"
UNTRAINED, TAUGHT, RIVAL, CONSTANT, GOAL = "#7d7d7d", "#1f4e79", "#d68910", "#b03a2e", "#2a9d8f"
MARKERS = "osD"  # by seed
PARTS = {"held_out": ("trained kinds", 0.95), "development": ("development kinds", 0.8), "test": ("test kinds", 0.8)}
METRICS = {  # of the model, of the rivals (which have no tokens, and whose rates are graded too), in words
    ("within_kind_balanced_accuracy",) * 2: "balanced accuracy within kind",
    ("token_auroc", "auroc"): "AUROC over all kinds",
}
# Experiment, step, place, colour: those that share neither a line nor a start stand apart.
STAGES = {
    "untrained": ("instructions_rl", 0, 0, UNTRAINED),
    "warm start": ("instructions_evidence", 0, 1, TAUGHT),
    "+ RL": ("instructions_evidence", 40, 2, TAUGHT),
    "RL alone": ("instructions_rl", 80, 3.2, UNTRAINED),
}


def panel(ax: plt.Axes, found: pd.DataFrame, metric: str, of_rivals: str) -> None:
    """One metric of one part of the kinds: a mark a seed with its interval, and on the same answers the rivals.

    The untrained model has two: of all its reports (hollow; a quarter are invalid, and count as wrong), and of the
    valid ones. Those of the trained models are of all their reports.
    """
    measured = found[found["arm"] == "measured"]
    for seed, marker in enumerate(MARKERS):
        x, y = [], []
        for experiment, step, place, colour in STAGES.values():
            at = (measured["experiment"] == experiment) & (measured["step"] == step) & (measured["seed"] == seed)
            for name in (metric, f"{metric}_valid") if (experiment, step) == ("instructions_rl", 0) else (metric,):
                for row in measured[at & (measured["metric"] == name)].itertuples():
                    where = place + (0.15 * (seed - 1) if colour == TAUGHT else 0)
                    face = "white" if colour == UNTRAINED and name == metric and place == 0 else colour
                    spread = [[row.value - row.low], [row.high - row.value]]
                    ax.errorbar(where, row.value, spread, fmt=marker, ms=5, capsize=2.5, color=colour, mfc=face)
                    if colour == TAUGHT:
                        x.append(where)
                        y.append(row.value)
        ax.plot(x, y, color=TAUGHT, lw=1.2, alpha=0.6)
    blind = found[found["metric"] == of_rivals].groupby("arm")["value"]
    (constant,) = {blind.get_group(arm).iloc[0] for arm in ("always_none", "always_full")}
    ax.axhline(constant, color=CONSTANT, ls=":", lw=1.8)
    ax.axhline(blind.get_group("base_rate").iloc[0], color=RIVAL, ls="--", lw=1.6)


def legend(fig: plt.Figure) -> None:
    hollow = Line2D([], [], color=UNTRAINED, marker="o", mfc="white", ls="")
    lines = {
        "evidence taught, then RL: a mark a seed": Line2D([], [], color=TAUGHT, marker="o", ms=5),
        "untrained (its valid reports), RL alone: one seed": Line2D([], [], color=UNTRAINED, marker="o", ms=5, ls=""),
        "untrained, an invalid report counted as wrong": hollow,
        "base-rate rival: knows each kind's rate, sees no answer": Line2D([], [], color=RIVAL, ls="--", lw=1.6),
        "every constant: always met, always not met": Line2D([], [], color=CONSTANT, ls=":", lw=1.8),
        "goal": Line2D([], [], color=GOAL, lw=1.2),
    }
    fig.legend(lines.values(), lines.keys(), fontsize=8.5, ncols=3, loc="lower center", frameon=False)


def draw(path: Path) -> None:
    every = pd.read_csv(RESULTS / "data" / "instructions_evidence.csv")
    cells = every[every["variant"] == "evidence"]
    fig, axes = plt.subplots(2, 3, figsize=(11, 6.4), sharex=True, sharey="row")
    for column, (split, (words, goal)) in zip(axes.T, PARTS.items(), strict=True):
        for ax, metrics in zip(column, METRICS, strict=True):
            panel(ax, cells[cells["split"] == split], *metrics)
            ax.spines[["top", "right"]].set_visible(False)
        column[0].axhline(goal, color=GOAL, lw=1.2)
        column[0].set_title(words, fontsize=10.5)
        column[0].set(ylim=(0.33, 1.0), xlim=(-0.5, 3.7))
        column[1].set(ylim=(0.24, 1.0))
        column[1].set_xticks([place for _, _, place, _ in STAGES.values()], STAGES)
    for ax, words in zip(axes[:, 0], METRICS.values(), strict=True):
        ax.set_ylabel(words)
    legend(fig)
    fig.tight_layout(rect=(0, 0.075, 1, 1))
    fig.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(fig)


if __name__ == "__main__":
    draw(PICTURE)
