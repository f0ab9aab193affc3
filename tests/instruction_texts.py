"""Texts of which everything is known that a requirement may ask about, for the tests of `instructions`."""

import random
from dataclasses import dataclass

from confessions.tasks.instructions.instances import KINDS

_PLAIN = [
    "the", "a", "and", "is", "in", "with", "of", "to", "was", "as", "it", "they", "ship", "storm", "sea", "sailors",
    "waited", "quietly", "running", "jumped", "over", "under", "seven", "twenty", "zebra", "quiz", "fox", "jar",
    "kettle", "value", "bubble", "extraordinary", "wonderfully", "night", "again", "home", "light", "time", "old",
    "day", "water", "heart", "wonder", "sight", "river", "glass", "sun", "wind", "small", "great", "first", "last",
    "new", "warm", "cold", "door", "key", "hand", "eyes", "stone", "of", "course", "as", "if", "once", "more",
    "even", "though", "far", "away", "café", "naïve", "Zürich", "Éva", "über", "Straße", "İstanbul", "well-known",
    "forty-two", "don't", "it’s", "we'll", "42", "1999", "北京", "lantern", "velvet", "seldom",
]  # fmt: skip
_LEVELS = [
    word
    for kind in KINDS.values()
    for level in kind.levels
    for part in (level if isinstance(level, list) else [level])
    if isinstance(part, str) and len(part) > 1
    for word in part.split()
]
WORDS = [*_PLAIN, *_LEVELS]
PHRASES = KINDS["phrase"].levels
FIRST = [word for word in WORDS if word.isalpha() and len(word) > 1]  # "A." would be an initial
BUSY = [*[""] * 30, ",", ",", ",", ";", ":", " —", " –"]
ENDINGS = [word for word in WORDS if word.isalpha() and word.isascii() and len(word) > 3]


@dataclass
class Said:
    """A sentence: its words, the mark behind each (the last is that of the sentence)."""

    words: list[str]
    marks: list[str]
    bold: bool = False
    quoted: int | None = None  # the word that stands in quotation marks

    def render(self, curly: bool) -> str:
        words = list(self.words)
        if self.quoted is not None:
            words[self.quoted] = f"“{words[self.quoted]}”" if curly else f'"{words[self.quoted]}"'
        if self.bold:
            words[0] = f"**{words[0]}**"
        return " ".join(word + mark for word, mark in zip(words, self.marks, strict=True))


@dataclass
class Sample:
    """Lines of sentences; `front` is what stands in front of a line."""

    lines: list[list[Said]]
    fronts: list[str]
    text: str = ""

    @property
    def sentences(self) -> list[Said]:
        return [sentence for line in self.lines for sentence in line]

    @property
    def words(self) -> list[str]:
        return [word for sentence in self.sentences for word in sentence.words]


def sample(rng: random.Random) -> Sample:
    lower = rng.random() < 0.2
    few = [rng.choice(WORDS) for _ in range(rng.randint(2, 8))]  # texts of few words repeat them
    lines, fronts = [], []
    listed = rng.choice(["", "", "", "- ", "1"])
    for number in range(rng.choice((1, 1, 1, 1, 1, 2, 2, 3, 4, 5))):
        lines.append([_said(rng, lower, few) for _ in range(rng.choice((1, 1, 2, 2, 3, 7) if number == 0 else (1, 2)))])
        fronts.append(f"{number + 1}. " if listed == "1" else listed)
    found = Sample(lines, fronts)
    end, curly = rng.choice(("\n", "\r\n", "\n\n", "\r", "\r\n\r\n")), rng.random() < 0.5
    rows = (front + " ".join(said.render(curly) for said in line) for front, line in zip(fronts, lines, strict=True))
    found.text = end.join(rows) + rng.choice(("", "\n", "  \r\n"))
    return found


def _said(rng: random.Random, lower: bool, few: list[str]) -> Said:
    n = rng.choice((2, 3, 4, 4, 5, 6, 7, 8, 9, 11, 13, 17, 24))
    words = [*rng.choices([*few * (len(WORDS) // 20), *WORDS], k=n - 1), rng.choice(ENDINGS)]
    if n > 4 and rng.random() < 0.1:
        words[1:-1] = rng.choice(PHRASES).split()
        n = len(words)
    words[0] = rng.choice(FIRST)
    words[-1] = words[-1].lower()
    if lower:
        words = [word.lower() for word in words]
    elif rng.random() < 0.9:
        words[0] = words[0].capitalize()
    busy = rng.random() < 0.5
    marks = rng.choices(BUSY, k=n - 1) if busy else [""] * (n - 1)
    marks.append(rng.choice("....!?"))
    quoted = rng.randrange(1, n - 1) if n > 3 and rng.random() < 0.1 else None
    return Said(words, marks, rng.random() < 0.1, quoted)
