"""Which one of several a text names: "Sentence 2", "the 2nd sentence", "Sentence two", "No. 2", "S2", "(II)".

One reader for every way of naming that a person understands, so that a report in the wrong order is seen whatever it
calls its entries. A count ("18 words", "the 18-word sentence") names none, nor does a plural ("5 sentences",
"sentences 1 to 5"). Names of other languages are known for the noun alone ("Satz 2").
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

LAST, PENULTIMATE = -1, -2  # as in indexing: only who knows how many there are can tell the number

_ONES = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
_NTHS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"


def _numerals(ones: str, alone: str) -> dict[str, int]:
    """The words of 1 to 99, without blanks: "seven", "twentyone"; `alone` ends a ten without a unit ("twentieth")."""
    named = {word: n for n, word in enumerate(ones.split(), 1)}
    for n, ten in enumerate(_TENS.split(), 2):
        named[ten[:-1] + alone] = 10 * n
        named |= {ten + unit: 10 * n + i for i, unit in enumerate(ones.split()[:9], 1)}
    return named


CARDINALS = _numerals(f"{_ONES} eighteen nineteen", "y") | {"hundred": 100}
_ORDINALS = _numerals(f"{_NTHS} sixteenth seventeenth eighteenth nineteenth", "ieth") | {"hundredth": 100}
_ORDINALS |= {"last": LAST, "final": LAST, "penultimate": PENULTIMATE}
_LETTERS = {letter: n for n, letter in enumerate("abcdefgh", 1)}  # I is a Roman numeral
_ROMAN = {"i": 1, "v": 5, "x": 10, "l": 50}

_NAMES = "sentence sent objective obj requirement req item point goal criterion constraint condition entry task"
_NOUNS = frozenset((_NAMES + " line part step satz phrase frase oración zin предложение").split())
_SIGNS = frozenset(("no", "nr", "nbr", "num", "number", "#"))
_ABBREVIATED = frozenset(("sent", "obj", "req", "no", "nr", "nbr", "num"))
_VERBS = frozenset(("has", "have", "had", "is", "was", "should", "must", "contains", "needs", "of", "one"))
_OF_WORDS = frozenset(("limit", "length", "requirement", "target", "total"))

_TOKEN = re.compile(r"[^\W_]+|[^\w\s]")
_JOINED = re.compile(rf"\b({_TENS.replace(' ', '|')})[\s-]+(?=[a-z])")
_NTH = re.compile(r"(\d{1,3})(?:st|nd|rd|th)")
_GLUED = re.compile(r"([^\W\d]+)(\d{1,3})")
_FRONT = re.compile(r"[\W_]*(?:s[-. #]?)?(\d{1,3})\s*(?:[.:)\]](?!\d)|/\s?\d|[\W_]*$|\s[–—-]\s|\s(\w+))")
# The emoji of a digit is the digit, a variation selector and a keycap
_SIGNS_AS_TEXT = {0xFE0F: None, 0x20E3: ".", ord("№"): "#", ord("º"): "o.", ord("°"): "o."}
_LONGEST = 500  # characters that are read: a name stands in front


@lru_cache(maxsize=1024)
def named(text: str) -> int | None:
    """The number that a text names, from 1 (LAST and PENULTIMATE: from the end); None where it names none.

    The first name counts: "Sentence 2 is longer than sentence 1" is about the second. A name with its noun comes before
    a mere number in front ("1. Sentence 2 ...").
    """
    plain = unicodedata.normalize("NFKC", text[:_LONGEST].translate(_SIGNS_AS_TEXT)).lower()
    plain = re.sub(r"\b(?:second|next)[ -]to[ -]last\b", "penultimate", _JOINED.sub(r"\1", plain))
    tokens = _TOKEN.findall(plain)
    found = (_with_noun(tokens, at) for at in range(len(tokens)))
    return next(chain(filter(None, found), filter(None, [_in_front(plain, tokens)])), None)


def _with_noun(tokens: Sequence[str], at: int) -> int | None:
    """The number that the noun, the ordinal or the sign at this place gives, with what stands around it."""
    token = tokens[at]
    if (glued := _GLUED.fullmatch(token)) and (glued[1] in _NOUNS or glued[1] == "s"):
        return None if _counts_words(tokens, at + 1) else int(glued[2])
    if token in _NOUNS or _is_sign(tokens, at):
        return _number_behind(tokens, at + 1)[0]
    if token[:-1] in _NOUNS and token[-1] == "s":
        number, end = _number_behind(tokens, at + 1)
        return None if _number_behind(tokens, end, joins=True)[0] else number  # "sentences 1 and 2"
    if number := _ordinal(token):
        behind = next((other for other in tokens[at + 1 :] if other[0].isalpha()), "")
        return number if behind in _NOUNS else None
    return None


def _is_sign(tokens: Sequence[str], at: int) -> bool:
    """Whether the token stands for "number" by itself; "there is no 5" and "test #3" name no objective."""
    token, before = tokens[at], next(filter(str.isalnum, tokens[:at][::-1]), "")
    if token == "number":
        return not before
    if token == "#":
        return not before.isalpha() or before in _NOUNS
    return token in _SIGNS and tokens[at + 1 :][:1] == ["."]


def _number_behind(tokens: Sequence[str], at: int, joins: bool = False) -> tuple[int | None, int]:
    """The first number from a place on, behind punctuation and signs at most, and the place behind it.

    `joins`: also behind "and", "or" and "to".
    """
    passed = _SIGNS | {"and", "to", "or"} if joins else _SIGNS
    while at < len(tokens) and (tokens[at] in passed or not tokens[at].isalnum()):
        if tokens[at] in ("!?;" if joins else "!?;,") or (tokens[at] == "." and tokens[at - 1] not in _ABBREVIATED):
            return None, at
        at += 1
    if at == len(tokens) or _counts_words(tokens, at + 1):
        return None, at
    token, behind = tokens[at], tokens[at + 1] if at + 1 < len(tokens) else "."
    number = int(token) if token.isdecimal() and len(token) <= 3 else CARDINALS.get(token) or _ordinal(token)
    if number is None and (behind in _VERBS or not behind.isalnum()):  # "Sentence I wrote" names none
        number = _LETTERS.get(token) or _roman(token)
    return number, at + 1


def _counts_words(tokens: Sequence[str], at: int) -> bool:
    """Whether a number in front of this place is one of words: "18 words", "18-word"; not "Sentence 1 word count"."""
    at += at < len(tokens) and tokens[at] in "-–*"
    behind = list(tokens[at : at + 2])
    if behind[:1] == ["words"]:
        return behind[1:] != [":"]
    return behind[:1] == ["word"] and not (behind[1:] and (behind[1] in _OF_WORDS or behind[1].startswith("count")))


def _ordinal(token: str) -> int | None:
    match = _NTH.fullmatch(token)
    return int(match[1]) if match else _ORDINALS.get(token.removesuffix("ly"))


def _roman(token: str) -> int | None:
    """The value of a Roman numeral up to 89, None for anything else."""
    if len(token) > 7 or not set(token) <= _ROMAN.keys():
        return None
    values = [_ROMAN[letter] for letter in token]
    return sum(-a if a < b else a for a, b in zip(values, [*values[1:], 0], strict=True))


def _in_front(plain: str, tokens: Sequence[str]) -> int | None:
    """A number without a noun, at the very front: "2.", "(2) ...", "Second: ...", "II."."""
    if match := _FRONT.match(plain):
        alone = match[2] is None or match[2] in _VERBS
        return int(match[1]) if alone and not (match.end() == len(plain) and int(match[1]) > 9) else None
    words = [token for token in tokens if token[0].isalnum() and token != "the"]
    if not words:
        return None
    behind = tokens[tokens.index(words[0]) + 1 :][:1]
    if behind and behind[0].isalnum() and behind[0] not in _VERBS:
        return None
    return _ordinal(words[0]) or _roman(words[0])
