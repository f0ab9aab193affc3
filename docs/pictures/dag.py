"""Draw docs/pictures/dag.png, the rules of the demo and what each reads of another: python docs/pictures/dag.py

The graph is Snakemake's own (--rulegraph), without the targets and the links of the view. It is kept in the picture's
metadata too, where a test compares it with the workflow.
"""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot as plt
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path as Curve

from confessions.config import load
from confessions.pipeline.plan import jobs

ROOT = Path(__file__).parents[2]
LEFT_OUT = re.compile("all|view_.*")
# Heading, colour, and which rules stand in the column: each with its height, or in the order of what they read.
COLUMNS = (
    ("models", "#e4e4e4", {"build_model": 0.3}),
    ("training", "#f6c99a", {"train_policy": 2.8, "post_train_model": -2.6}),
    ("rollouts", "#a8cbe8", {"sample_policy": 1.6, "sample_model": -1.5}),
    ("scores", "#b7d9b1", {"score_policy": 0.5, "score_model": -0.6}),
    ("tables and logs", "#d9c8e6", re.compile("tabulate_.*|write_logs")),
    ("figures", "#f3b8b8", re.compile("plot_.*")),
)
WIDTH, GAP, HEIGHT, INK = 2.4, 0.9, 0.62, "#333333"


def edges() -> list[tuple[str, str]]:
    """Pairs of rules, the second of which reads what the first makes, in alphabetical order."""
    command = [sys.executable, "-m", "snakemake", "--rulegraph", "--forceall", "--config", "experiment=demo"]
    dot = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    names = dict(re.findall(r'^\s*(\d+)\[label = "(\w+)"', dot, re.MULTILINE))
    pairs = [(names[a], names[b]) for a, b in re.findall(r"^\s*(\d+) -> (\d+)$", dot, re.MULTILINE)]
    return sorted(pair for pair in pairs if not any(map(LEFT_OUT.fullmatch, pair)))


def heights(pairs: list[tuple[str, str]]) -> list[dict[str, float]]:
    """The middle of each rule's box, by column."""
    found: list[dict[str, float]] = []
    for *_, wanted in COLUMNS:
        if isinstance(wanted, dict):
            found.append(wanted)
            continue
        known = {rule: y for column in found for rule, y in column.items()}
        rules = {rule for pair in pairs for rule in pair if wanted.fullmatch(rule)}
        read = {rule: [known[a] for a, b in pairs if b == rule] for rule in rules}
        order = sorted(rules, key=lambda rule: (rule == "write_logs", -sum(read[rule]) / len(read[rule]), rule))
        found.append({rule: (len(order) - 1) / 2 - i for i, rule in enumerate(order)})
    return found


def draw(path: Path) -> None:
    pairs, made = edges(), Counter()
    columns = heights(pairs)
    for job in jobs.Counter(load(ROOT / "config.yaml").model_copy(update={"experiment": "demo"})).jobs():
        made[job.rule] += job.n
    at = {rule: (i * (WIDTH + GAP), y) for i, column in enumerate(columns) for rule, y in column.items()}
    high = max(y for _, y in at.values())
    fig, ax = plt.subplots(figsize=(13.5, 0.5 * high + 3.2))
    ax.set(xlim=(-0.2, len(COLUMNS) * (WIDTH + GAP)), ylim=(-high - 0.8, high + 1.2))
    ax.axis("off")
    for first, second in pairs:
        (x, y), (end_x, end_y) = at[first], at[second]
        bend = 0.5 * (end_x - x - WIDTH)
        points = [(x + WIDTH, y), (x + WIDTH + bend, y), (end_x - bend, end_y), (end_x, end_y)]
        ax.add_patch(PathPatch(Curve(points, [1, 4, 4, 4]), fc="none", ec="#9a9a9a", lw=0.9, zorder=1))
    for (heading, colour, _), column in zip(COLUMNS, columns, strict=True):
        for rule, y in column.items():
            x = at[rule][0]
            box = FancyBboxPatch((x, y - HEIGHT / 2), WIDTH, HEIGHT, boxstyle="round,pad=0,rounding_size=0.1")
            box.set(facecolor=colour, edgecolor=INK, linewidth=0.8, zorder=2)
            ax.add_patch(box)
            words = f"{rule} × {made[rule]}" if made[rule] > 1 else rule
            ax.text(x + WIDTH / 2, y, words, ha="center", va="center", fontsize=8, color=INK, zorder=3)
        ax.text(x + WIDTH / 2, high + 0.75, heading, ha="center", fontsize=11, color=INK)
    fig.savefig(path, dpi=110, bbox_inches="tight", metadata={"Software": None, "Description": json.dumps(pairs)})
    plt.close(fig)


if __name__ == "__main__":
    draw(Path(__file__).with_name("dag.png"))
