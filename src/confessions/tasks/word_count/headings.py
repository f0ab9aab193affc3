"""What stands on lines of its own in an answer and is no sentence of it: headings, titles, introductions, remarks.

A line with a label is a sentence. Of the others, a *heading* is "# ...", an underlined line, a line all in bold,
italics, brackets, quotes or ornaments that ends no sentence, "Title: ...", "Sentence 2", "Part 1 ..."; or a title: in
Title Case, or a short one in front of everything, without a full stop. An *introduction* ends in a colon. A *remark*
only counts: "Word counts: 12, 18", "(Total: 72 words)".
"""

import re
from functools import cached_property

from confessions.tasks.word_count.labels import CLOSERS, STOPS, is_label, labels
from confessions.tasks.word_count.markers import MARKER, NAME, NUMERAL
from confessions.tasks.word_count.markup import lines

LINES = 5_000  # lines that are read one by one; more would take too long, and no answer has as many
TITLE_WORDS = 8  # in front of everything; a title in Title Case may be longer

_HASHES = re.compile(r"#{1,6}(?:\s|$)|#{2,6}(?![\d#])")
_UNDERLINE = re.compile(r"(?:=+|-{2,}|~{3,}|\^{3,}|[─━═–—]{2,})$")
_RULE = re.compile(rf"([-=*_~#+·•–—─━═])(?:[ \t]*+\1){{2,}}+$|{_UNDERLINE.pattern}")
_COLON = re.compile(r"[:：](?P<closes>[)\]])?[*_~`\s\u2190-\U0010ffff]*+$")
_ANNOUNCES = re.compile(r"\b(?:here|below|follow(?:s|ing)|paragraph|answer|response|text|sentences?)\b", re.IGNORECASE)
_TABLE_RULE = re.compile(r"\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*+\|?$")
_TITLED = re.compile(r"[\W_]*(?:title|topic|subject|heading|theme)\b[*_]*[ \t]*[:：]", re.IGNORECASE)
_NAMED = re.compile(
    rf"[\W_]*(?:{NAME}|(?P<part>paragraph|part|section|chapter|stanza|verse)[ \t]*\#?"
    rf"(?:\d{{1,3}}|[ivx]{{1,5}}|{NUMERAL})\b)"
    r"(?P<rest>.*)",
    re.IGNORECASE,
)
_PARTNERS = {
    "(": ")",
    "[": "]",
    "{": "}",
    "<": ">",
    "“": "”",
    "‘": "’",
    "„": "“",
    "«": "»",
    "【": "】",
    "「": "」",
    "《": "》",
}
# Starts no heading, whatever follows, if the line ends a sentence. Most lines do, and need no other look.
_PLAIN = re.compile(
    r"(?P<marker>\d{1,2}\. )?(?!title|topic|subject|heading|theme|sentence|line|paragraph|part|section|chapter|stanza"
    r"|verse|s\d|\w+ sentence)[^\W\d_]+[ ,'’]",
    re.IGNORECASE,
)
_NUMBER_IN_MARKS = re.compile(r"[*_]+\d+[.):]")
_EMPHASIS = frozenset("*_")
_STRONG = frozenset("*_[{<=#~【《")  # what they hold is set apart, even where it asks something
_FULL = frozenset(STOPS) - frozenset("?？")
_GOES_ON = frozenset(",;—–-，；、")
_SMALL_WORDS = "a an and as at but by for from in into nor of off on onto or over per the to up upon via vs with"
_SMALL = frozenset(_SMALL_WORDS.split())

_REMARK = re.compile(
    r"[\W_]*+(?:(?:(?:s?\d+|(?:grand[\W_]+)?total|words?|wordcounts?|counts?|sum|sentences?|paragraphs?|each|per|in|of|and"
    r"|the|by|for|all|numbers?|lengths?|targets?|actual|exact|exactly|required|requested|overall|\d+(?:st|nd|rd|th)"
    rf"|first|second|third|fourth|fifth|{NUMERAL})(?![^\W_])[\W_]*+)++|(?P<end>the end)[\W_]*+)$",
    re.IGNORECASE,
)
_STOPS, _ENDS = frozenset(STOPS), CLOSERS + " \t"
_COUNTS = re.compile(r"words?|counts?|total|sentences?", re.IGNORECASE)
_NUMBERS = re.compile(rf"\d|(?<![^\W_])(?:{NUMERAL})(?![^\W_])", re.IGNORECASE)


def is_remark(text: str) -> bool:
    """Whether a text does nothing but count: numbers, alone or of words and sentences, and no verb. Or "The end"."""
    if not any(map(str.isalpha, text)):
        return any(map(str.isdigit, text))
    remark = _REMARK.match(text)
    return bool(remark and (remark["end"] or (_COUNTS.search(text) and _NUMBERS.search(text))))


def introduces(text: str) -> bool:
    """Whether a text ends in a colon, so that something is to follow."""
    _, core, right = _parts(text)
    match = _COLON.search(right)
    return bool(match) and (not match["closes"] or "(" in core or "[" in core)  # else a smile


def is_finished(line: str) -> bool:
    """Whether a line ends a sentence: in a full stop, another mark of its kind or a label."""
    if line[-1:] == ")" and line[line.rfind("(") + 1 : -1].isdecimal():
        return True
    return line.rstrip(_ENDS)[-1:] in _STOPS or any(match.end() == len(line) for match in labels(line))


def blocks(answer: str) -> list[str]:
    """The paragraphs and list items of an answer in order, without headings. An item keeps its marker.

    What follows the first LINES lines is one paragraph: nothing in it is a heading.
    """
    found = lines(answer)
    rest = "\n".join(found[LINES:])
    return [*_Page(found[:LINES]).blocks(), *([rest] if rest else [])]


class _Page:
    """The lines of an answer, each read with its neighbours."""

    def __init__(self, found: list[str]):
        self.lines = found
        self.blocks_found: list[str] = []
        self.open: list[str] = []  # lines of the block that is not complete
        self.in_table = False

    @cached_property
    def _numbered(self) -> bool:
        """Whether a number stands in front of everything, and so is none of a sentence above: then all such lines are
        markers."""
        return is_label(next(filter(None, self.lines), ""))

    @cached_property
    def _roman(self) -> bool:
        """Whether the lines have Roman numbers; else "I." is an initial."""
        return any(line.startswith("II.") for line in self.lines)

    def blocks(self) -> list[str]:
        for at, line in enumerate(self.lines):
            if "|" in line and self._is_row(at, line):
                self._close()
                self._add_cells(at, line)
            elif (plain := _PLAIN.match(line)) and is_finished(line) and self._below(at)[:1] != "=":
                if plain["marker"]:
                    self._close()
                self.open.append(line)
            elif not line or _RULE.match(line):
                self._close()
            else:
                self._read(at, line)
            self.in_table &= "|" in line
        self._close()
        return self.blocks_found

    def _close(self) -> None:
        if self.open:
            self.blocks_found.append("\n".join(self.open))
            self.open = []

    def _read(self, at: int, line: str) -> None:
        if is_label(line):
            if self._numbered:
                self._close()
            else:
                self.open.append(line)
            return
        if line.startswith("I.") and self._roman:
            line = "1" + line[1:]
        marker = MARKER.match(line)
        if marker:
            self._close()
        if self._is_heading(at, line, marker):
            self._close()
            return
        self.open.append(line)
        if introduces(line) and (not self._below(at)[:1].islower() or _ANNOUNCES.search(line)):
            self._close()

    # Tables: each cell is a block; the row above the rule is a heading

    def _is_row(self, at: int, line: str) -> bool:
        self.in_table |= "-" in line and bool(_TABLE_RULE.match(line))
        return self.in_table or line[0] == "|" != line or self._is_header(at)

    def _is_header(self, at: int) -> bool:
        below = self._below(at)
        return "|" in below and "-" in below and bool(_TABLE_RULE.match(below))

    def _add_cells(self, at: int, line: str) -> None:
        if not _TABLE_RULE.match(line) and not self._is_header(at):
            self.blocks_found += filter(None, map(str.strip, line.split("|")))

    # Headings

    def _below(self, at: int) -> str:
        return self.lines[at + 1] if at + 1 < len(self.lines) else ""

    def _next(self, at: int) -> str:
        """The next line that is not empty."""
        below = self._below(at)
        return below or (self._below(at + 1) or next(filter(None, self.lines[at + 1 :]), ""))

    @cached_property
    def _last_finished(self) -> int:
        for at in range(len(self.lines) - 1, -1, -1):
            if any(map(is_finished, map(str.strip, self.lines[at].split("|")))):
                return at
        return -1

    @cached_property
    def _all_emphasised(self) -> bool:
        """Whether every line is in bold or italics: then it sets none apart."""
        texts = (line for line in self.lines if any(map(str.isalnum, line)) and not is_label(line))
        return all(_marks(*_parts(line)) & _EMPHASIS for line in texts if not _is_hashed(line, MARKER.match(line)))

    def _is_heading(self, at: int, line: str, marker: re.Match[str] | None) -> bool:
        text = line[marker.end() :] if marker else line
        if not any(map(str.isalnum, text)):
            return bool(marker)
        within_marks = marker and _NUMBER_IN_MARKS.match(line)  # "**1. Title**"
        left, core, right = _parts(line if within_marks else text)
        full = not _FULL.isdisjoint(right)
        if _TITLED.match(text) or self._is_named(line, full):
            return True
        if any(labels(text)):
            return False
        if _is_hashed(line, marker):
            return True
        below = self._below(at)
        if _UNDERLINE.match(below):
            return not full or below[0] == "="
        if is_label(self._next(at)) and not self._numbered:
            return False  # the label is this line's
        if introduces(text):
            return False  # what ends with its block is dropped there
        goes_on = below[:1].islower()
        within = bool(self.open) and not is_finished(self.open[-1])
        marks = _marks(left, core, right)
        if marks & _EMPHASIS and self._all_emphasised:
            marks -= _EMPHASIS
        if marks:
            strong = bool(marks & _STRONG)
            if strong and not (within and goes_on) and (not full or (_is_title(core) and "." not in right)):
                return True
            if not strong and not (within or goes_on or full) and "?" not in right:
                return True
        if within or goes_on or full or not _GOES_ON.isdisjoint(right) or self._last_finished <= at:
            return False
        if _is_title(core):
            return not (marker and (MARKER.match(self._next(at))))
        first = not (marker or self.open or self.blocks_found)
        return first and not below and "?" not in right and len(core.split()) <= TITLE_WORDS

    def _is_named(self, line: str, full: bool) -> bool:
        """ "Sentence 2" and nothing else, or "Chapter 2: ..." that is no sentence."""
        match = _NAMED.match(line)
        if not match:
            return False
        rest = match["rest"].strip(" \t*_]")
        return (
            not any(map(str.isalnum, rest)) or is_label(rest) or bool(match["part"] and not full and rest[0] in ":.–—-")
        )


def _is_hashed(line: str, marker: re.Match[str] | None) -> bool:
    """Whether a line is "# ..."; "### Sentence 1: The cat sat." is the sentence."""
    return bool(_HASHES.match(line)) and not (marker and any(map(str.isalpha, marker[0])))


def _parts(line: str) -> tuple[str, str, str]:
    """What stands in front of the first letter or digit, up to the last, and behind."""
    start, end = 0, len(line)
    while start < end and not line[start].isalnum():
        start += 1
    while end > start and not line[end - 1].isalnum():
        end -= 1
    return line[:start], line[start:end], line[end:]


def _marks(left: str, core: str, right: str) -> set[str]:
    """The marks that hold the whole line: of emphasis, brackets, quotes, ornaments."""
    found = set()
    for mark in set(left) - {" ", "\t"}:
        partner = _PARTNERS.get(mark, mark)
        opening, closing = mark * left.count(mark), partner * left.count(mark)
        if closing in right and not (closing in core and core.find(closing) <= core.find(opening) % (len(core) + 1)):
            found.add(mark)
    return found


def _is_title(text: str) -> bool:
    """Whether a text is in Title Case."""
    firsts = [next(filter(str.isalnum, word), "") for word in text.split() if word.lower() not in _SMALL]
    return any(map(str.isupper, firsts)) and not any(map(str.islower, firsts)) and not text[0].islower()
