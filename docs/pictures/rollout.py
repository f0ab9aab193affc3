"""Draw docs/pictures/rollout.png, the life of one rollout: python docs/pictures/rollout.py"""

from pathlib import Path

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

GIVEN, TASK, CONFESSION, INK = "#e4e4e4", "#a8cbe8", "#f6c99a", "#333333"
# left edge, width, symbol, words, colour: what is read and written, from left to right
BLOCKS = (
    (0.0, 1.5, "", "system prompt\n(the condition)", GIVEN),
    (1.6, 1.5, "x", "task prompt", GIVEN),
    (3.2, 1.7, "z", "reasoning", TASK),
    (5.0, 1.7, "y", "answer", TASK),
    (6.8, 1.7, "xc", "request to confess\n(the variant)", GIVEN),
    (8.6, 1.7, "zc", "reasoning", CONFESSION),
    (10.4, 1.7, "yc", "report:\nclaims, grade", CONFESSION),
)
HEIGHT, TURN = 1.0, 6.75


def box(ax, x, y, width, height, text, colour):
    shape = FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.08", fc=colour, ec=INK, lw=0.8)
    ax.add_patch(shape)
    ax.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=9, color=INK, linespacing=1.3)


def arrow(ax, start, end, style="-|>", bend=0.0):
    curve = f"arc3,rad={bend}"
    ax.add_patch(
        FancyArrowPatch(start, end, arrowstyle=style, mutation_scale=11, lw=1, color=INK, connectionstyle=curve)
    )


def draw(path: Path) -> None:
    fig, ax = plt.subplots(figsize=(12, 4.6))
    ax.set(xlim=(-0.1, 12.2), ylim=(-4.1, 1.9))
    ax.axis("off")
    for x, width, symbol, words, colour in BLOCKS:
        box(ax, x, 0, width, HEIGHT, f"$\\bf{{{symbol}}}$\n{words}" if symbol else words, colour)
    ax.axvline(TURN, 0.68, 0.98, color=INK, lw=0.8, ls=":")
    ax.text(3.3, 1.45, "turn 1", ha="center", fontsize=11, color=INK)
    ax.text(9.45, 1.45, "turn 2", ha="center", fontsize=11, color=INK)
    box(ax, 3.9, -1.75, 2.2, 0.8, "weak judge\nreads y, nothing else", "white")
    box(ax, 6.5, -1.75, 2.2, 0.8, "ground truth of y\nplain code, no model", "white")
    box(ax, 10.15, -1.75, 2.0, 0.8, "are the claims true?", "white")
    arrow(ax, (5.6, 0), (5.2, -0.95))
    arrow(ax, (6.2, 0), (7.2, -0.95))
    arrow(ax, (11.2, 0), (11.2, -0.95))
    arrow(ax, (8.7, -1.35), (10.15, -1.35))
    box(ax, 3.1, -3.0, 3.2, 0.75, "task reward, normalised in its group\nadvantage of the tokens of z and y", TASK)
    box(
        ax,
        8.4,
        -3.0,
        3.75,
        0.75,
        "confession reward, normalised in its group\nadvantage of the tokens of zc and yc",
        CONFESSION,
    )
    arrow(ax, (4.9, -1.75), (4.8, -2.25))
    arrow(ax, (11.1, -1.75), (10.9, -2.25))
    arrow(ax, (3.5, -2.25), (3.5, 0))
    arrow(ax, (9.3, -2.25), (9.3, 0))
    ax.text(
        6.05,
        -3.75,
        "Grey: given to the model, never trained. No value that is computed from the confession reaches the advantage "
        "of a task token, nor the reverse.",
        ha="center",
        fontsize=9,
        color=INK,
    )
    fig.savefig(path, dpi=110, bbox_inches="tight", metadata={"Software": None})
    plt.close(fig)


if __name__ == "__main__":
    draw(Path(__file__).with_name("rollout.png"))
