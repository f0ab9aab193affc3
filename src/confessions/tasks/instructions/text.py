"""The text of an answer as the requirements see it: lines, sentences, words. Every step is linear in the text."""

import re
import unicodedata
from functools import cached_property

from confessions.tasks.word_count.markers import MARKER
from confessions.tasks.word_count.markup import inline
from confessions.tasks.word_count.words import _split as split

LONGEST = 20_000  # characters that are read; an answer of 160 tokens has a twentieth of them
_LINE_END = re.compile(r"\r\n?|[\u2028\u2029\x85]")
_DASHES = re.compile(r"[‒–—―⸺⸻]|-{2,}")
_EDGES = re.compile(r"^[\W_]+|[\W_]+$")


def core(word: str) -> str:
    """A word without the punctuation around it: "(well-known)," is "well-known"."""
    return word if word.isalnum() else _EDGES.sub("", word)


def folded(word: str) -> str:
    """A word as it is compared: case and the kind of apostrophe do not count."""
    return word.casefold().replace("’", "'")


def _cores(text: str) -> list[str]:
    """The words of a part of a line."""
    return [*filter(None, map(core, _DASHES.sub(" ", text).split()))]


class Text:
    """A text without its checklist. A line ends a sentence, as a full stop does; list markers and marks of emphasis are
    part of no word. Words are runs of non-space characters with a letter or a digit; a dash divides two, a hyphen does
    not, as in Word Count."""

    def __init__(self, text: str):
        self.raw = _LINE_END.sub("\n", unicodedata.normalize("NFC", text[:LONGEST]))

    @cached_property
    def lines(self) -> list[str]:
        """Those with a letter or a digit: rules and fences are none."""
        return [line for line in map(str.strip, self.raw.split("\n")) if any(map(str.isalnum, line))]

    @cached_property
    def _sentences(self) -> list[tuple[int, str, list[str]]]:
        """Each with its line, counted from 1, and its words."""
        found = []
        for number, line in enumerate(self.lines, 1):
            seen = inline(line)
            marker = MARKER.match(seen)
            for sentence in split(seen[marker.end() :] if marker else seen):
                if cores := _cores(sentence):
                    found.append((number, sentence.strip(), cores))
        return found

    @property
    def sentences(self) -> list[str]:
        return [sentence for _, sentence, _ in self._sentences]

    @cached_property
    def sentence_words(self) -> list[list[str]]:
        """The words of each sentence, without punctuation around them. No sentence is without words."""
        return [cores for _, _, cores in self._sentences]

    @cached_property
    def words(self) -> list[str]:
        return [word for cores in self.sentence_words for word in cores]

    @property
    def copied(self) -> str:
        """A line for each sentence: the number of its line, its words in their order, the number of them so far behind
        every fifth and the last, and the number of all words so far: "|1 Night fell over the quiet /5 town. /6 = 6"."""
        lines, before = [], 0
        for number, sentence, cores in self._sentences:
            written, seen = [], 0
            for run in sentence.split():
                written.append(run)
                fives, seen = seen // 5, seen + len(_cores(run))
                if seen // 5 > fives and seen < len(cores):
                    written.append(f"/{seen}")
            before += len(cores)
            lines.append(" ".join([f"|{number}", *written, f"/{len(cores)} = {before}"]))
        return "\n".join(lines)

    @cached_property
    def sentence_folded(self) -> list[list[str]]:
        """`sentence_words` as words are compared."""
        return [[*map(folded, words)] for words in self.sentence_words]

    @cached_property
    def folded(self) -> list[str]:
        return [word for words in self.sentence_folded for word in words]
