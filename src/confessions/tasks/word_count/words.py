"""Sentences, labels and words of an answer: the counting rules behind the word_count ground truth.

A *label* is the word count that an answer states for a sentence, in parentheses at its end: "The cat sat
(3)." or "The cat sat. (3)". Labels delimit sentences. Text that carries none is split by punctuation (library
`sentencex`, which knows abbreviations, decimals, initials and quotes). Paragraphs and list items always delimit;
markup, headings and remarks that only count are dropped (`_markup`, `_headings`, `_markers`).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice, repeat

from confessions.tasks.word_count.headings import blocks, introduces, is_remark
from confessions.tasks.word_count.labels import CLOSERS, STOPS, is_label, labels
from confessions.tasks.word_count.markers import body_start, items
from confessions.tasks.word_count.markup import inline

_DASHES = re.compile(r"[‒–—―⸺⸻]|-{2,}")
_SPACES, _SURROGATE = re.compile(r"\n|[^\S\x00-\x7f]"), re.compile(r"[\ud800-\udfff]")
_QUOTES = dict.fromkeys(map(ord, "\"'“”‘’„‟‚‛«»‹›「」『』《》〈〉"))
SENTENCES = 5_000  # of a paragraph; what follows counts as one more, for no answer has as many
_WINDOW = 1_000  # characters
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

    Hyphenated and apostrophe words are one word; a dash between spaces or words separates two. Markup and a
    leading list marker ("2.", "- ", "Sentence 2:") are not words.
    """
    return _words(inline(text))


def _words(text: str) -> tuple[str, ...]:
    text = text[body_start(text) :]
    if "--" in text or not text.isascii():
        text = _DASHES.sub(" ", text)
    return tuple([run for run in text.split() if run[0].isalnum() or any(map(str.isalnum, run))])


def sentences(answer: str) -> tuple[Sentence, ...]:
    """The sentences of an answer in order. A sentence has at least one word."""
    return (_kept if len(answer) <= _LONG else _kept_few)(answer)


def _found(answer: str) -> tuple[Sentence, ...]:
    found: list[Sentence] = []
    whole = blocks(answer)
    for item in chain.from_iterable(map(items, whole, repeat(STOPS + CLOSERS), [*whole[1:], ""])):
        for text, label in _pieces(item):
            parts = [text] if label is not None else _unlabelled(text, leads=not found)
            new = [Sentence(part, label) for part in map(_words, parts) if part]
            if label is not None and not new and found and found[-1].label is None:
                found[-1] = Sentence(found[-1].words, label)  # a label on its own line: of the sentence above
            found += new
    return tuple(found)


_kept, _kept_few = lru_cache(maxsize=512)(_found), lru_cache(maxsize=2)(_found)


def _pieces(block: str) -> Iterator[tuple[str, int | None]]:
    """(text, label) of each labelled sentence of a block, then (rest, None) where there is one. Remarks are none."""
    body = 0 if is_label(block) else body_start(block)
    start = 0
    for match in islice(labels(block, body), SENTENCES):
        text = block[start : match.start()]
        if not (is_remark(text) and any(map(str.isdigit, text))):  # "One word counts (3)." is a sentence
            yield text, int(match["label"])
        start = match.end()
    if start < len(block) and not is_remark(block[start:]):
        yield block[max(start, body) :], None


def _unlabelled(text: str, leads: bool) -> list[str]:
    """The sentences of a text without labels. Remarks are none, nor is an introduction ("Sure! Here it is:"): the whole
    line in front of everything (`leads`), else its last sentence."""
    parts = [part for part in _split(text) if not is_remark(part)]
    if parts and introduces(text):
        return [] if leads and "\n" not in text else parts[:-1]
    return parts


def _split(text: str) -> list[str]:
    """Sentences of a text without labels, by punctuation.

    The library panics at wide spaces behind an initial, refuses lone surrogates, and takes quadratic time where no
    space follows a full stop (as in Chinese) and where quotes do not close: hence the replacements, the windows, and no
    quotes from a place on where no sentence ends for a whole window.
    """
    if not any(map(str.isalnum, text)):
        return []
    import sentencex  # costs an import only where labels are missing

    text = _SURROGATE.sub("\ufffd", _SPACES.sub(" ", text)).replace("`", "")
    found: list[str] = []
    start, width, quotes = 0, _WINDOW, True
    while True:
        if len(found) >= SENTENCES:
            return [*found, text[start:]]
        *whole, last = sentencex.segment("en", text[start : start + width])
        found += whole
        if start + width >= len(text):
            return [*found, last]
        if not whole and quotes:
            text, start, quotes = text[start:].translate(_QUOTES), 0, False
            continue
        start += sum(map(len, whole))  # the last may continue after the window
        width = _WINDOW if whole else 2 * width
