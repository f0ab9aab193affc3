"""The checklist with which an answer ends, its own account of itself: "[x] 1", "- [ ] 2. It has no comma.", "☑ 3".

Every line that begins with a box belongs to it, and so does a heading right above; all other lines are the text.
"""

import re
from dataclasses import dataclass

_TICKED, _BOX = r"\\?\[\s?[xX✓✔√]\s?\\?\]|[☑✅✔✓☒🗹]", r"\\?\[[\s_-]?\s?\\?\]|[☐□❌✗✘⬜]"
_FRONT = r"\s*+(?:[-*+•]\s++|>\s*+)*+(?:\#{1,6}\s)?[*_`]{0,3}"
_LINE = re.compile(
    rf"{_FRONT}(?:(?P<before>\d{{1,2}})[.):]?\s*+)?[*_`]{{0,3}}(?:(?P<ticked>{_TICKED})|(?:{_BOX}))\ufe0f?[*_`]{{0,3}}"
    r"\s*+[*_`(]{0,3}(?:requirement|req\.?|no\.?)?\s?\#?(?P<behind>\d{1,2})?(?!\d)",
    re.IGNORECASE,
)
_MORE = re.compile(rf"(?:(?P<ticked>{_TICKED})|(?:{_BOX}))\ufe0f?\s?\#?(?P<behind>\d{{1,2}})(?!\d)")  # on the same line
_CUT = re.compile(r"\s*+(?:[-*+•]\s++|\d{1,2}[.)]\s*+)?\\?\[\s?[xX]?\s*$")  # where the answer was cut
_HEADING = re.compile(
    r"[^.!?\n]{0,60}\bchecklist\b[^.!?\n]{0,60}$|[\W_]*+requirements?(?: met| check)?[\W_]*+$", re.IGNORECASE
)
_RULE = re.compile(r"\s*(?:-{3,}|\*{3,}|_{3,}|`{3,}\w*)\s*$")


@dataclass(frozen=True)
class Checklist:
    ticked: frozenset[int]  # numbers of requirements, from 1, that the answer states as met
    n_boxes: int


def divided(answer: str) -> tuple[str, Checklist]:
    """The text of an answer, and its checklist. A box without a number counts for its place; a requirement with two
    boxes is ticked if both are."""
    kept: list[str] = []
    ticked: set[int] = set()
    open_: set[int] = set()
    n_boxes = 0
    for line in answer.splitlines():
        if match := _LINE.match(line):
            if not n_boxes:
                _drop_heading(kept)
            n_boxes += 1
            number = int(match["before"] or match["behind"] or n_boxes)
            (ticked if match["ticked"] else open_).add(number)
            for more in _MORE.finditer(line, match.end()):
                n_boxes += 1
                (ticked if more["ticked"] else open_).add(int(more["behind"]))
        elif not (n_boxes and _CUT.match(line)):
            kept.append(line)
    return "\n".join(kept).strip(), Checklist(frozenset(ticked - open_), n_boxes)


def _drop_heading(lines: list[str]) -> None:
    """Take the checklist's heading, and a rule above it, off the end of the text."""
    for pattern in (_HEADING, _RULE):
        while lines and not lines[-1].strip():
            lines.pop()
        if lines and pattern.match(lines[-1]):
            lines.pop()
