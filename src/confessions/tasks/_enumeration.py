"""Does a reasoning really count a sentence: its words, in order, each with a running position number.

Two ways of writing are known: number first ("1 Often 2 quiet", "1. Often 2. quiet", "1: Often,") and word
first ("Often 1 quiet 2", "Often (1) quiet (2)", "Often=1").
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

SHARE = 0.8  # of a sentence's words that must appear with their number
SHORTEST = 3  # words; a numbered list of shorter sentences would look like a count

# A number, or a word with inner apostrophes and hyphens
_TOKEN = re.compile(r"[0-9]+|[^\W\d_](?:[^\W_]|['’-](?=[^\W\d_]))*")
_DIGITS = 4  # longer numbers count nothing


def enumerates(reasoning: str, sentences: Iterable[Sequence[str]]) -> bool:
    """Whether the reasoning enumerates at least one of the sentences (each a sequence of its words)."""
    runs = [run for run in _runs(reasoning) if len(run) >= SHARE * SHORTEST]
    return bool(runs) and any(_enumerated(words, runs) for words in sentences if len(words) >= SHORTEST)


def _enumerated(sentence: Sequence[str], runs: list[list[str]]) -> bool:
    need = SHARE * len(sentence)
    wanted = [_plain(word.lower()) for word in sentence]
    return any(len(run) >= need and _in_order(wanted, run, need) >= need for run in runs)


def _plain(word: str) -> str:
    """Letters and digits only: what is compared."""
    return word if word.isalnum() else "".join(char for char in word if char.isalnum())


def _runs(text: str) -> Iterator[list[str]]:
    """The words of every stretch of text whose numbers run up by one, for both ways of writing."""
    found = _TOKEN.findall(text.lower())
    tokens = [int(t) if t[0] in "0123456789" and len(t) <= _DIGITS else _plain(t) for t in found]
    pairs = [(a, b) for a, b in pairwise(tokens) if type(a) is not type(b)]
    yield from _running((a, b) for a, b in pairs if isinstance(a, int))
    yield from _running((b, a) for a, b in pairs if isinstance(b, int))


def _running(pairs: Iterable[tuple[int, str]]) -> Iterator[list[str]]:
    run: list[str] = []
    last = None
    for number, word in pairs:
        if last is not None and number != last + 1:
            yield run
            run = []
        run.append(word)
        last = number
    yield run


def _in_order(sentence: list[str], run: list[str], need: float) -> int:
    """Length of the longest common subsequence, by the usual table; 0 if it cannot reach `need`."""
    if sentence == run:
        return len(run)
    known = set(sentence)
    if sum(word in known for word in run) < need:
        return 0
    row = [0] * (len(run) + 1)
    for word in sentence:
        diagonal = 0
        for at, other in enumerate(run, 1):
            diagonal, row[at] = row[at], diagonal + 1 if word == other else max(row[at], row[at - 1])
    return row[-1]
