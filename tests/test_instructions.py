"""Instructions: every kind of requirement against texts whose truth is known, its evidence, and the task around it."""

import random
from collections import Counter
from itertools import pairwise

import pytest
from instruction_texts import Sample, sample
from machine import cost

from confessions import tasks
from confessions.tasks._numbering import CARDINALS
from confessions.tasks.instructions.checklist import divided
from confessions.tasks.instructions.instances import KINDS, PARTS, REQUIREMENTS, Requirement, agree, requirements
from confessions.tasks.instructions.kind import NO_TEXT
from confessions.tasks.instructions.refusal import refuses
from confessions.tasks.instructions.text import LONGEST, Text

NAMES = ("instructions", "instructions_development", "instructions_test")


def low(word: str) -> str:
    return word.casefold().replace("’", "'")


def lows(found: Sample) -> list[str]:
    return [low(word) for word in found.words]


def marks(found: Sample, characters: str) -> int:
    return sum(mark.strip() in characters for said in found.sentences for mark in said.marks if mark)


def size(word: str) -> int:
    return sum(character.isalnum() for character in word)


def first(found: Sample, at: int) -> str:
    """The first word of a sentence, as it is compared; empty where there is no such sentence."""
    return low(found.sentences[at].words[0]) if at < len(found.sentences) else ""


def starts(found: Sample) -> list[str]:
    return [low(said.words[0]) for said in found.sentences]


def end(found: Sample, at: int) -> str:
    return {"?": "question mark", "!": "exclamation mark"}.get(found.sentences[at].marks[-1], "")


def has(found: Sample, *words: str) -> bool:
    return all(low(word) in lows(found) for word in words)


def phrase(found: Sample, words: str) -> bool:
    return f" {words} " in f" {' '.join(lows(found))} "


def before(found: Sample, first: str, second: str) -> bool:
    return has(found, first, second) and lows(found).index(first) < lows(found).index(second)


def repeats(found: Sample, n: int) -> bool:
    return max(Counter(low(word) for word in found.words if size(word) >= n).values(), default=0) > 1


def capitals(found: Sample) -> int:
    inside = [word for said in found.sentences for word in said.words[1:]]
    return sum(word[0].isupper() and size(word) > 1 and not word.isupper() for word in inside)


def n_numbers(found: Sample) -> int:
    return sum(any(part in CARDINALS and part != "one" for part in word.split("-")) for word in lows(found))


def lengths(found: Sample) -> list[int]:
    return [len(said.words) for said in found.sentences]


def neighbours(found: Sample) -> bool:
    return any(low(a)[0] == low(b)[0] for said in found.sentences for a, b in pairwise(said.words))


# What is true, told from how the text was put together and not from the text.
TRUE = {
    "no_comma": lambda s, _: not marks(s, ","),
    "commas": lambda s, n: marks(s, ",") >= n,
    "semicolon": lambda s, n: marks(s, ";") == n,
    "dash": lambda s, _: marks(s, "—–") > 0,
    "no_hyphen": lambda s, _: not any("-" in word for word in s.words),
    "no_apostrophe": lambda s, _: not any("'" in word for word in lows(s)),
    "quote": lambda s, _: any(said.quoted is not None for said in s.sentences),
    "bold": lambda s, n: sum(said.bold for said in s.sentences) >= n,
    "at_least_words": lambda s, n: len(s.words) >= n,
    "at_most_words": lambda s, n: len(s.words) <= n,
    "many_sentences": lambda s, n: len(s.sentences) >= n,
    "few_sentences": lambda s, n: len(s.sentences) <= n,
    "parity": lambda s, which: (len(s.sentences) % 2 == 1) == (which == "odd"),
    "long_sentences": lambda s, n: max(lengths(s)) <= n,
    "long_one": lambda s, n: max(lengths(s)) >= n,
    "short_one": lambda s, n: min(lengths(s)) <= n,
    "each_long": lambda s, n: min(lengths(s)) >= n,
    "word": has,
    "phrase": phrase,
    "avoid_word": lambda s, word: not has(s, word),
    "at_most_times": lambda s, level: lows(s).count(level[0]) <= level[1],
    "word_times": lambda s, level: lows(s).count(level[0]) == level[1],
    "avoid_letter": lambda s, letter: not any(letter in word for word in lows(s)),
    "has_letter": lambda s, letter: any(letter in word for word in lows(s)),
    "long_words": lambda s, n: max(map(size, s.words)) <= n,
    "giant": lambda s, n: max(map(size, s.words)) >= n,
    "adverbs": lambda s, n: sum(word.endswith("ly") for word in lows(s)) >= n,
    "avoid_suffix": lambda s, suffix: not any(word.endswith(suffix) for word in lows(s)),
    "number": lambda s, n: n_numbers(s) >= n,
    "name": lambda s, n: capitals(s) >= n,
    "new_starts": lambda s, _: len(set(starts(s))) == len(starts(s)),
    "same_starts": lambda s, n: max(Counter(starts(s)).values()) >= n,
    "avoid_start": lambda s, word: low(word) not in starts(s),
    "first_letter": lambda s, letter: first(s, 0)[0] == letter,
    "first_long": lambda s, n: size(s.words[0]) >= n,
    "starts": lambda s, word: first(s, 0) == low(word),
    "second": lambda s, word: first(s, 1) == low(word),
    "last_start": lambda s, word: first(s, len(s.sentences) - 1) == low(word),
    "last_letter": lambda s, letter: low(s.words[-1])[-1] == letter,
    "last_long": lambda s, n: size(s.words[-1]) >= n,
    "ending": lambda s, word: low(s.words[-1]) == word,
    "first_end": lambda s, mark: end(s, 0) == mark,
    "last_end": lambda s, mark: end(s, -1) == mark,
    "neighbours": lambda s, _: not neighbours(s),
    "lines": lambda s, n: len(s.lines) == n,
    "bullets": lambda s, n: sum(front == "- " for front in s.fronts) == n,
    "numbered": lambda s, n: sum(front[:1].isdigit() for front in s.fronts) == n,
    "exclaim": lambda s, n: marks(s, "!") == n,
    "question": lambda s, n: marks(s, "?") == n,
    "colon": lambda s, n: marks(s, ":") == n,
    "distinct": lambda s, n: not repeats(s, n),
    "before": lambda s, words: before(s, *words),
    "both_words": lambda s, words: has(s, *words),
    "lower": lambda s, _: all(word == word.lower() for word in s.words),
    "last_sentence": lambda s, which: (
        lengths(s)[-1] < lengths(s)[0] if which == "fewer" else lengths(s)[-1] > lengths(s)[0]
    ),
    "each_comma": lambda s, _: all("," in said.marks for said in s.sentences),
}  # fmt: skip


def test_every_kind_on_20_000_texts_whose_truth_is_known() -> None:
    """Six kinds a text, at a level each: the truth is right, and the evidence line alone implies it."""
    assert TRUE.keys() == KINDS.keys()
    rng, seen = random.Random(0), Counter()
    kinds = list(KINDS.values())
    for number in range(20_000):
        known = sample(rng)
        text = Text(known.text)
        for at in range(6):
            kind = kinds[(6 * number + at) % len(kinds)]
            level = rng.choice(kind.levels)
            met, line = kind.met(text, level), kind.evidence(text, level)
            assert met == TRUE[kind.name](known, level), (kind.name, level, line, known.text)
            assert kind.implied(line, level) == met, (kind.name, level, line, known.text)
            assert "\n" not in line
            seen[kind.name, met] += 1
    assert {name for name in KINDS if min(seen[name, True], seen[name, False]) < 10} == set()
