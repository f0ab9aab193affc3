"""What stands in front of a sentence and is no part of it: a bullet, a number, "Sentence 2:", "**Answer:**"."""

import re
from itertools import islice, pairwise

from confessions.tasks.numbering import CARDINALS

ITEMS = 5_000  # numbers on one line that are looked at; no list is as long

_BLANK = r"[^\S\n]"
NUMERAL = "|".join(word for word, n in CARDINALS.items() if n <= 20)
_NUMBER = rf"(?:\d{{1,3}}|[ivx]{{1,5}}|{NUMERAL})"
_ORDINAL = r"(?:\d{1,2}(?:st|nd|rd|th)|first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|last|final)"
NAME = (
    rf"(?:(?:sentence|line){_BLANK}{{0,3}}(?:(?:no\.?|nr\.?|number|\#|№){_BLANK}?)?[(\[]?{_NUMBER}(?![^\W_])[)\]]?"
    rf"|{_ORDINAL}{_BLANK}sentence|s\d{{1,2}})"
)
_COUNT = (
    rf"(?:{_BLANK}{{0,3}}[(\[（][^()\[\]（）\n]{{0,20}}\d[^()\[\]（）\n]{{0,20}}[)\]）])?"  # "Sentence 1 (12 words):"
)
_ITEM = (
    rf"\d{{1,2}}{_BLANK}?[.):]|\(\d{{1,2}}\)|\[\d{{1,2}}\]|\#\d{{1,2}}[.:)]?"
    r"|[a-h]\)|\([a-h]\)|\(?[ivx]{1,5}\)|(?-i:[ivx]{1,5}\.|[IVX]{2,5}\.)"
    r"|[0-9]\u20e3|[\u2460-\u2473\u2776-\u277f]"
    r"|\[[ x✓✔]?\]|(?<![*_])[-*+•◦‣▪▫●○■□·⁃∙►▶→➤✓✔☐☑✅](?![*_])|(?-i:[–—](?=\s+[^\sa-z]))"
    rf"|\[?{NAME}[*_]{{0,3}}{_COUNT}[*_]{{0,3}}\]?(?:{_BLANK}{{0,3}}[.:)：–—-]|(?<=[*_\]]))"
)
_WORD = r"(?!sentence|line)[a-z]++ (?!sentence)"  # most texts begin with one, and no marker does
_ONE = rf"(?!{_WORD})(?:\#{{1,6}}{_BLANK})?[*_`]{{0,3}}(?:{_ITEM})[*_`]{{0,3}}(?:{_BLANK}++|$)"
MARKER = re.compile(rf"\s*+(?:{_ONE}){{1,4}}+", re.IGNORECASE)

# A heading on the sentence's own line. Its text starts in upper case: "*Cats*: they sleep" is one sentence.
_LEAD_IN = (
    r"(?:(?P<mark>[*_]{1,3})[^\s*_:.!?()][^*_\n:.!?]{0,60}(?::(?P=mark)|(?P=mark):)"
    r"|(?:final )?(?:answer|paragraph|response|output|text)(?: \d{1,2})?:)\s+(?=(?-i:[^\sa-z]))"
)
_IN_FRONT = re.compile(rf"(?:{MARKER.pattern})?+(?:{_LEAD_IN})?", re.IGNORECASE)

_COUNTER = r"[*_]{0,3}(?:(?:sentence[ ]?\#?)?(?P<n>\d{1,3})[.):]|(?P<open>\()(?P<m>\d{1,3})\))"
_FIRST = re.compile(rf"\s*{_COUNTER}", re.IGNORECASE)
_RUNNING = re.compile(rf"\s(?P<counter>)(?=[*_s(\d]){_COUNTER}[*_]{{0,3}}(?=\s+(?P<next>\S))", re.IGNORECASE)


def body_start(text: str) -> int:
    """Where the sentence itself begins."""
    return _IN_FRONT.match(text).end()


def items(block: str, ends: str, below: str) -> list[str]:
    """The items of a list on one line: "1. The cat sat. 2. Dogs ran." A block that no number starts is one item.

    A number goes on with the list where it is the next one, is not that of the block `below`, and stands behind the end
    of a sentence (one of the characters `ends`); where no number does, in front of a capital ("1. The cat sat 2. Dogs
    ran").
    """
    match = _FIRST.match(block)
    if not match or str(_value(match) + 1) not in block:
        return [block]
    following = _FIRST.match(below)
    stop = _value(following) if following else None
    numbers = islice(_RUNNING.finditer(block, match.end()), ITEMS)
    found = [other for other in numbers if other["open"] == match["open"]]
    behind_end = [other for other in found if _last(block, other.start()) in ends]
    in_front_of_capital = [other for other in found if other["next"].isupper()]
    starts = _run(behind_end, _value(match) + 1, stop) or _run(in_front_of_capital, _value(match) + 1, stop)
    return [block[a:b] for a, b in pairwise([0, *starts, len(block)])]


def _value(counter: re.Match[str]) -> int:
    return int(counter["n"] or counter["m"])


def _last(text: str, end: int) -> str:
    """The last character in front of a place that is no blank."""
    while end and text[end - 1].isspace():
        end -= 1
    return text[end - 1 : end] or " "


def _run(found: list[re.Match[str]], wanted: int, stop: int | None) -> list[int]:
    """Where the numbers stand that run up by one from `wanted`, up to `stop`."""
    starts = []
    for match in found:
        if _value(match) == wanted != stop:
            starts.append(match.start("counter"))
            wanted += 1
    return starts
