"""Sentences, labels and words of an answer: the counting rules behind the word_count ground truth.

A *label* is the word count that an answer states for a sentence, in parentheses at its end: "The cat sat
(3)." or "The cat sat. (3)". Labels delimit sentences. Text that carries none is split by punctuation (library
`sentencex`, which knows abbreviations, decimals, initials and quotes). Blank lines and list items always
delimit; headings are dropped.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

_STATED = r"\(\s*(?:word count:?\s*)?(?P<label>\d{1,3})(?:\s*words?)?\s*\)"
_STOPS = ".!?…"
_CLOSERS = "\"'”’)]*_`"
_LABEL = re.compile(rf"[*_`]{{0,3}}{_STATED}[{re.escape(_CLOSERS)}]{{0,3}}(?P<stop>\s*[{_STOPS}]+)?", re.IGNORECASE)

_ITEM = r"sentence[ \t]+\d{1,2}[ \t]*[.:)-]|\d{1,2}[ \t]?[.):]|\(\d{1,2}\)|[-*+•]"
_MARKER = rf"(?:#{{1,6}} )?[*_]{{0,2}}(?:{_ITEM})[*_]{{0,2}}(?=[ \t]+\S)"
_LIST_MARKER = re.compile(rf"\s*{_MARKER}", re.IGNORECASE)
# "# Title" without a label; "**Title**" or "Here is the paragraph:" on a line of its own
_HEADING = re.compile(r"^#{1,6} (?!.*\(\d{1,3}\)).*$|^\*\*[^*.!?(\n]+\*\*$|^[^(\n]*:[*_]*$", re.MULTILINE)
# A blank line, or a line break in front of a list item. Another single line break is a space, as in markdown.
_BREAK = re.compile(rf"\n\s*\n|\n(?=[ \t]*{_MARKER})", re.IGNORECASE)
_DASHES = re.compile(r"[–—]|(?<!-)--(?!-)")


@dataclass(frozen=True)
class Sentence:
    words: tuple[str, ...]  # in order, list marker removed, punctuation kept
    label: int | None  # the count that the answer states

    @property
    def count(self) -> int:
        return len(self.words)


def words(text: str) -> tuple[str, ...]:
    """The words of a sentence without its label: runs of non-space characters that hold a letter or a digit.

    Hyphenated and apostrophe words are one word; a dash between spaces or words separates two. Markdown and a
    leading list marker ("2.", "- ", "Sentence 2:") are not words.
    """
    text = _DASHES.sub(" ", text[_body_start(text) :])
    return tuple(run for run in text.split() if run[0].isalnum() or any(char.isalnum() for char in run))


@lru_cache(maxsize=512)
def sentences(answer: str) -> tuple[Sentence, ...]:
    """The sentences of an answer in order. A sentence has at least one word."""
    found: list[Sentence] = []
    for block in _BREAK.split(_HEADING.sub("\n", answer)):
        for text, label in _pieces(block):
            parts = [words(part) for part in (_split(text) if label is None else [text])]
            found += [Sentence(part, label) for part in parts if part]
            if label is not None and not any(parts) and found and found[-1].label is None:
                found[-1] = Sentence(found[-1].words, label)  # a label on its own line: of the sentence above
    return tuple(found)


def _body_start(text: str) -> int:
    marker = _LIST_MARKER.match(text)
    return marker.end() if marker else 0


def _pieces(block: str) -> Iterator[tuple[str, int | None]]:
    """(text, label) of each labelled sentence of a block, then (rest, None)."""
    start = _body_start(block)
    for match in _LABEL.finditer(block, start):
        if _ends_sentence(block, match):
            yield block[start : match.start()], int(match["label"])
            start = match.end()
    yield block[start:], None


def _ends_sentence(block: str, match: re.Match[str]) -> bool:
    """A number in parentheses is a label unless the sentence goes on behind it: "the twelve (12) men"."""
    if match["stop"] or block[: match.start()].rstrip(_CLOSERS + " \t\n").endswith(tuple(_STOPS)):
        return True
    after = block[match.end() :].lstrip(" \t")[:1]
    return not (after.islower() or after in tuple(",;:–—-"))


def _split(text: str) -> list[str]:
    """Sentences of a text without labels, by punctuation."""
    if not any(char.isalnum() for char in text):
        return []
    import sentencex  # costs an import only where labels are missing

    return list(sentencex.segment("en", text))
