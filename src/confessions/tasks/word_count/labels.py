"""Labels: the word count that an answer states for a sentence, in parentheses at its end ("(12)", "(12 words)")."""

import re
from collections.abc import Iterator

STOPS = ".!?…。！？｡．"
CLOSERS = "\"'”’»)]*_`~）】」"
_GOES_ON = frozenset(",;:–—-，；：")
_TRAILING = frozenset(CLOSERS + " \t\n")

_STATED = r"[(（]\s*(?:(?:word count|words|count)\s*[:=]?\s*)?(?P<label>\d{1,3})(?:\s*words?)?\s*[)）]"
_LABEL = re.compile(
    rf"{_STATED}[{re.escape(CLOSERS)}]{{0,3}}(?P<stop>\s*[{STOPS}]+)?"
    r"(?=[^\S\n]*(?P<breaks>\n?)\s*[*_~`\"'“‘«]*(?P<after>\S?))",
    re.IGNORECASE,
)
_LONGEST = 60  # characters of a label with all that may stand around it
_ONLY = re.compile(rf"[*_`\"'“‘]{{0,3}}{_STATED}[\W_]*$", re.IGNORECASE)


def labels(text: str, start: int = 0) -> Iterator[re.Match[str]]:
    """The labels of a text, each with its number as group "label"."""
    if "(" not in text and "（" not in text:
        return
    for match in _LABEL.finditer(text, start):
        if _ends_sentence(text, start, match):
            yield match
            start = match.end()


def is_label(text: str) -> bool:
    """Whether a text is a label and nothing else."""
    return len(text) <= _LONGEST and bool(_ONLY.match(text))


def _ends_sentence(text: str, start: int, match: re.Match[str]) -> bool:
    """A number in parentheses is a label unless the sentence continues after it: "the twelve (12) men".

    Behind a line break a small letter goes on with a sentence that began with a capital.
    """
    before = match.start() - 1
    while before >= start and text[before] in _TRAILING:
        before -= 1
    if match["stop"] or (before >= start and text[before] in STOPS):
        return True
    after = match["after"]
    if not after.islower():
        return after not in _GOES_ON
    first = next((c for c in text[start : match.start()] if c.isalpha()), "") if match["breaks"] else ""
    return first.islower()
