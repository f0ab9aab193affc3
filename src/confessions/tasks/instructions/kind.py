"""What a kind of requirement is, and the forms that many of them share.

A kind finds something in a text (`find`: a list of items) and decides by what it found alone (`holds`). The items,
written down, are the evidence line: "last word night", "starts The, It, The", "commas Well, day, in all = 2". So the
line implies the truth on every text, and whoever reads it needs nothing else to decide. What is counted is named, one
by one, and a search goes sentence by sentence ("in asking, -, trunk, in all = 2"); the number that decides comes last
("sentence words As 23, It 11, most = 23"). So a model that writes the line reads off what it counts, and the claim off
the line (docs/results/instructions_evidence.md, docs/results/instructions_copied.md).
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf
from typing import Any

from confessions.tasks.instructions.text import Text, core, folded

Level = Any  # a JSON value: a number, a word, a list of them; None where a kind has one level
Items = list[str]
SHOWN = 3  # items, where one of them is enough to decide
BLANK = "a blank"  # a word without a letter or a digit
NOWHERE = "-"  # nothing in this sentence


@dataclass(frozen=True)
class Bounds:
    """(lowest, highest) numbers that a requirement leaves possible."""

    words: tuple[float, float] = (1, inf)
    sentences: tuple[float, float] = (1, inf)
    sentence_words: tuple[float, float] = (1, inf)  # of every sentence


@dataclass(frozen=True)
class Kind:
    """One kind of requirement. A text without a word meets none."""

    name: str  # one word
    asks: Callable[[Level], str]  # the sentence of the prompt
    levels: Sequence[Level]  # JSON values
    find: Callable[[Text, Level], Items]
    holds: Callable[[Items, Level], bool]
    label: str = ""  # in front of the items of the evidence line
    none: str = ""  # the line where nothing is found
    needs: Callable[[Level], Sequence[str]] = lambda level: ()  # words and marks that a text must hold to meet it
    refuses: Callable[[str, Level], bool] = lambda token, level: False  # whether it forbids such a word or mark
    bounds: Callable[[Level], Bounds] = lambda level: Bounds()
    slots: frozenset[str] = frozenset()  # what no other requirement of the instance may be about

    def evidence(self, text: Text, level: Level) -> str:
        """The line that decides."""
        return self.line(self.find(text, level)) if text.words else NO_TEXT

    def met(self, text: Text, level: Level) -> bool:
        return bool(text.words) and self.holds(self.find(text, level), level)

    def line(self, items: Items) -> str:
        return f"{self.label} {', '.join(items)}".strip() if items else self.none

    def implied(self, line: str, level: Level) -> bool | None:
        """Whether a text that has this evidence line meets the level; None where no text has it."""
        if line == NO_TEXT:
            return False
        try:
            return self.holds(self._items(line), level)
        except (ValueError, IndexError):  # no number where one belongs, nothing where there must be something
            return None

    def _items(self, line: str) -> Items:
        """What `line` was made from. ValueError where it has another form."""
        if self.none and line == self.none:
            return []
        if not line.startswith(self.label):
            raise ValueError(line)
        return line.removeprefix(self.label).strip().split(", ")


NO_TEXT = "no text"


def number(item: str) -> int:
    """n of an item "something = n"."""
    return int(item.rpartition("= ")[2])


def at_least(items: Items, level: int) -> bool:
    return number(items[-1]) >= level


def at_most(items: Items, level: int) -> bool:
    return number(items[-1]) <= level


def exactly(items: Items, level: int) -> bool:
    return number(items[-1]) == level


def present(items: Items, level: Level) -> bool:
    return bool(items)


def absent(items: Items, level: Level) -> bool:
    return not items


def nowhere(items: Items, level: Level) -> bool:
    return number(items[-1]) == 0


def somewhere(items: Items, level: Level) -> bool:
    return number(items[-1]) > 0


def counted(found: Iterable[str]) -> Items:
    """What is counted, and how many there are."""
    items = [*found]
    return [*items, f"in all = {len(items)}"]


def marks(characters: str) -> Callable[[Text, int], Items]:
    """What stands before each of these marks, up to one more than the level."""
    pattern = re.compile(f"[{re.escape(characters)}]")

    def find(text: Text, level: int) -> Items:
        before = (part for run in text.raw.split() for part in pattern.split(run)[:-1])
        return counted(core(part) or BLANK for part in islice(before, level + 1))

    return find


def by_sentence(found: Iterable[Sequence[str]]) -> Items:
    """What is found in each sentence, and how much in all."""
    items, n = [], 0
    for words in found:
        items.append(" ".join(words) or NOWHERE)
        n += len(words)
    return [*items, f"in all = {n}"]


def words_that(test: Callable[[str, Level], bool], shown: int | None = 1) -> Callable[[Text, Level], Items]:
    """In each sentence the words, at most `shown`, for which `test` (of the word as it is compared) holds."""

    def find(text: Text, level: Level) -> Items:
        each = zip(text.sentence_words, text.sentence_folded, strict=True)
        return by_sentence(
            [*islice((word for word, same in zip(*pair, strict=True) if test(same, level)), shown)] for pair in each
        )

    return find


def runs_with(characters: str) -> Callable[[Text, Level], Items]:
    """The first runs of non-space characters that hold one of these, without punctuation around them."""
    pattern = re.compile(rf"\S*?[{re.escape(characters)}]")

    def find(text: Text, level: Level) -> Items:
        found: Items = []
        for run in text.raw.split():
            if len(found) == SHOWN:
                break
            if match := pattern.match(run):
                found.append(core(match[0]) or BLANK)
        return found

    return find


def starts(text: Text, level: Level) -> Items:
    """The first word of every sentence."""
    return [words[0] for words in text.sentence_words]


def n_sentences(text: Text, level: Level) -> Items:
    return counted(starts(text, level))


def sentence_lengths(text: Text, level: Level) -> Items:
    """The first word of every sentence with its number of words."""
    return [f"{words[0]} {len(words)}" for words in text.sentence_words]


def longest_sentence(text: Text, level: Level) -> Items:
    return [*sentence_lengths(text, level), f"most = {max(map(len, text.sentence_words))}"]


def shortest_sentence(text: Text, level: Level) -> Items:
    return [*sentence_lengths(text, level), f"fewest = {min(map(len, text.sentence_words))}"]


def times(text: Text, word: str) -> Items:
    return [f"{word} = {text.folded.count(folded(word))}"]


def longest_words(text: Text, level: Level) -> Items:
    """The first of the longest words of each sentence, with its letters and digits, and the most of them."""
    longest = [max(words, key=letters) for words in text.sentence_words]
    return [*(f"{word} = {letters(word)}" for word in longest), f"most = {max(map(letters, longest))}"]


def letters(word: str) -> int:
    return sum(map(str.isalnum, word))


def same(item: str, word: str) -> bool:
    return folded(item) == folded(word)


def plural(n: int, noun: str) -> str:
    """ "1 comma", "2 commas"."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def among(token: str, word: str) -> bool:
    """Whether a word is one of those of a token, which may be a phrase."""
    return folded(word) in folded(token).split()
