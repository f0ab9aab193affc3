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
_LABEL = re.compile(
    rf"[*_`]{{0,3}}{_STATED}[{re.escape(_CLOSERS)}]{{0,3}}(?P<stop>\s*[{_STOPS}]+)?(?=[ \t]*(?P<after>[\s\S]?))",
    re.IGNORECASE,
)

_ITEM = r"sentence[ \t]+\d{1,2}[ \t]*[.:)-]|\d{1,2}[ \t]?[.):]|\(\d{1,2}\)|[-*+•]"
_MARKER = rf"(?:#{{1,6}} )?[*_]{{0,2}}(?:{_ITEM})[*_]{{0,2}}(?=[ \t]+\S)"
_LIST_MARKER = re.compile(rf"\s*{_MARKER}", re.IGNORECASE)
# "# Title" without a label; "**Title**" or "Here is the paragraph:" on a line of its own
_HEADING = re.compile(r"^#{1,6} (?!.*\(\d{1,3}\)).*$|^\*\*[^*.!?(\n]+\*\*$|^[^(\n]*:[*_]*$", re.MULTILINE)
# A blank line, or a line break in front of a list item. Another single line break is a space, as in markdown.
_BREAK = re.compile(rf"\n\s*\n|\n(?=[ \t]*{_MARKER})", re.IGNORECASE)
_DASHES = re.compile(r"[–—]|(?<!-)--(?!-)")


_TRAILING = frozenset(_CLOSERS + " \t\n")
_GOES_ON = frozenset(",;:–—-")
_WIDE_SPACE, _SURROGATE = re.compile(r"[^\S\x00-\x7f]"), re.compile(r"[\ud800-\udfff]")
_WINDOW = 10_000  # characters
_LONG = 5_000  # characters; the cache holds many answers of ordinary length, few of the longer ones


@dataclass(frozen=True, slots=True)
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
    text = text[_body_start(text) :]
    if "--" in text or "–" in text or "—" in text:
        text = _DASHES.sub(" ", text)
    return tuple([run for run in text.split() if run[0].isalnum() or any(map(str.isalnum, run))])


def sentences(answer: str) -> tuple[Sentence, ...]:
    """The sentences of an answer in order. A sentence has at least one word."""
    return (_kept if len(answer) <= _LONG else _kept_few)(answer)


def _found(answer: str) -> tuple[Sentence, ...]:
    found: list[Sentence] = []
    for block in filter(None, _BREAK.split(_HEADING.sub("\n", answer))):
        for text, label in _pieces(block):
            parts = _split(text) if label is None else [text]
            new = [Sentence(part, label) for part in map(words, parts) if part]
            if label is not None and not new and found and found[-1].label is None:
                found[-1] = Sentence(found[-1].words, label)  # a label on its own line: of the sentence above
            found += new
    return tuple(found)


_kept, _kept_few = lru_cache(maxsize=512)(_found), lru_cache(maxsize=2)(_found)


def _body_start(text: str) -> int:
    marker = _LIST_MARKER.match(text)
    return marker.end() if marker else 0


def _pieces(block: str) -> Iterator[tuple[str, int | None]]:
    """(text, label) of each labelled sentence of a block, then (rest, None) where there is one."""
    start = _body_start(block)
    for match in _LABEL.finditer(block, start):
        if _ends_sentence(block, match):
            yield block[start : match.start()], int(match["label"])
            start = match.end()
    if start < len(block):
        yield block[start:], None


def _ends_sentence(block: str, match: re.Match[str]) -> bool:
    """A number in parentheses is a label unless the sentence goes on behind it: "the twelve (12) men"."""
    before = match.start() - 1
    while before >= 0 and block[before] in _TRAILING:
        before -= 1
    if match["stop"] or (before >= 0 and block[before] in _STOPS):
        return True
    return not (match["after"].islower() or match["after"] in _GOES_ON)


def _split(text: str) -> list[str]:
    """Sentences of a text without labels, by punctuation.

    The library panics at wide spaces behind an initial, refuses lone surrogates, and takes quadratic time where no
    space follows a full stop (as in Chinese): hence the replacements and the windows.
    """
    if not any(map(str.isalnum, text)):
        return []
    import sentencex  # costs an import only where labels are missing

    text = _SURROGATE.sub("\ufffd", _WIDE_SPACE.sub(" ", text))
    found: list[str] = []
    start, width = 0, _WINDOW
    while True:
        *whole, last = sentencex.segment("en", text[start : start + width])
        found += whole
        if start + width >= len(text):
            return [*found, last]
        start += sum(map(len, whole))  # the last may go on behind the window
        width = _WINDOW if whole else 2 * width
