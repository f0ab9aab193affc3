"""Seconds of one core for reading the sentences of 1 MB answers, of the texts that take longest, and of half as much.

    python benchmarks/answers.py

Goal: at most 1 s for 1 MB, and twice the text in at most 2.5 times the time. The texts are those of
`tests/tasks/test_words.py`. How many ordinary answers a second are scored: `benchmarks/score.py`.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests/tasks"))

from test_words import WORST

from confessions.tasks.word_count.words import _found

SIZE = 2**20  # characters
SECONDS, RATIO = 1.0, 2.5
NOISE = 0.05  # seconds; a ratio of shorter times says nothing


def seconds(text: str) -> float:
    """The best of three."""
    times = []
    for _ in range(3):
        start = time.process_time()
        _found(text)
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    missed = False
    print(f"{'text':16} {'s':>6} {'ratio':>6}")
    for unit in WORST:
        half, whole = (seconds((unit * (size // len(unit) + 1))[:size]) for size in (SIZE // 2, SIZE))
        missed |= whole > SECONDS or (whole > NOISE and whole > RATIO * half)
        print(f"{unit[:14]!r:16} {whole:6.2f} {whole / max(half, 1e-9):6.1f}", flush=True)
    print(f"goal: at most {SECONDS:g} s, ratio at most {RATIO:g}: {'MISSED' if missed else 'met'}")
    sys.exit(missed)


if __name__ == "__main__":
    main()
