"""Lines a second and peak memory of `confessions score`, as a process of its own.

    python benchmarks/score.py [--lines 100000]

Kinds of files: *counted* (every reasoning counts every word, as after training), *uncounted* (none does), *hostile*
(long answers without labels, counts that match no sentence, broken reports). Texts are the embedded model's corpus; a
file repeats 5,000 different ones. Seconds are those of one core (user and system), so that other work on the machine
disturbs them less. Each file is scored at a tenth of its length too: memory must not grow with it.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from confessions.tasks.word_count.demonstrations import Habits, Talk, conversation

GOAL = 4000  # lines a second of one core, of the first two kinds
TARGETS = [12, 18, 12, 18, 12]
DIFFERENT = 5_000

Texts = tuple[str, str, str]  # y, zc, yc


def counted(rng: random.Random) -> Texts:
    return _texts(conversation(rng, TARGETS, Habits(), counted=True))


def uncounted(rng: random.Random) -> Texts:
    return _texts(conversation(rng, TARGETS, Habits(), counted=False))


def hostile(rng: random.Random) -> Texts:
    y, zc, yc = counted(rng)
    other, other_zc, _ = counted(rng)
    return rng.choice(
        [
            (y, other_zc, yc),  # counts another answer
            (y, zc * 20, yc[: rng.randrange(len(yc))]),
            (y.replace(" (", ". (").replace("\n", " ") * 10, zc, yc),  # fifty sentences in one block
            ("".join(c for c in y if c not in "0123456789().\n") * 20 + ".", zc, yc + yc),
            (". ".join(word.title() for word in (y + other).split()), zc, "{" * 3000),
            ("雨が降った。" * 100, other_zc, yc.replace(": ", ": [" * 200, 1)),
            (y, "1 " * 2000 + zc, yc.replace('"Full"', '"full"')),
            ("\n".join("- a" for _ in range(500)), zc, json.dumps({"objectives": [1] * 500})),
        ]
    )


def _texts(c: Talk) -> Texts:
    return c.y, c.zc, c.yc


def lines(make: Callable[[random.Random], Texts], n: int) -> Iterator[str]:
    rng = random.Random(0)
    pool = [make(rng) for _ in range(min(n, DIFFERENT))]
    for i in range(n):
        y, zc, yc = pool[i % len(pool)]
        record = {"id": i, "task": "word_count", "spec": {"targets": TARGETS}, "answer": y, "confession": yc}
        yield json.dumps(record | {"confession_reasoning": zc}) + "\n"


def measure(file: Path) -> tuple[float, float]:
    """Seconds of one core and peak MiB of scoring a file."""
    command = [sys.executable, "-m", "confessions", "score", str(file), "--out", str(file.with_suffix(".csv"))]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}: failed")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=100_000, help="of each kind of file")
    n = parser.parse_args().lines
    missed = False
    print(f"{'':10} {'lines':>8} {'MiB':>6} {'s':>7} {'lines/s':>8} {'peak MiB':>9}")
    with tempfile.TemporaryDirectory() as work:
        for make in (counted, uncounted, hostile):
            for n_lines in (n // 10, n):
                file = Path(work) / f"{make.__name__}.jsonl"
                with file.open("w", encoding="utf-8") as out:
                    out.writelines(lines(make, n_lines))
                seconds, peak = measure(file)
                rate, size = n_lines / seconds, file.stat().st_size / 2**20
                print(f"{make.__name__:10} {n_lines:8} {size:6.0f} {seconds:7.1f} {rate:8.0f} {peak:9.1f}", flush=True)
            missed |= make is not hostile and rate < GOAL
    print(f"goal: at least {GOAL} lines/s, counted or not: {'MISSED' if missed else 'met'}")
    sys.exit(missed)


if __name__ == "__main__":
    main()
