"""Does a reasoning really count a sentence: its words, in order, each with a running position number.

Two ways of writing are known: number first ("1 Often 2 quiet", "1. Often 2. quiet", "1: Often,") and word
first ("Often 1 quiet 2", "Often (1) quiet (2)", "Often=1"). A number may be a word of the sentence itself ("4 in 5 1999
6 after").
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise

from confessions.tasks.analysed import TooMuch

SHARE = 0.8  # of a sentence's words that must appear with their number
WORK = 2_000_000  # words of runs that are compared with words of sentences; a reasoning that asks for more is not read
SHORTEST = 3  # words; a numbered list of shorter sentences would look like a count

# A number of up to four digits that is no part of a word ("2nd") or longer number ("3.5"); those count nothing and
# pass for words. (To look back from behind the first digit is faster: the search then jumps from digit to digit.)
_NUMBER = re.compile(r"[0-9](?<![^\W_][0-9])(?<![0-9][.,:][0-9])[0-9]{0,3}+(?![^\W_]|[.,:][0-9])")
# A word with inner apostrophes and hyphens
_WORD = re.compile(r"[0-9]++(?:[.,:][0-9]++)*+[^\W_]*+|[^\W\d_][^\W_]*+(?:['’-](?=[^\W\d_])[^\W_]*+)*+")

_Stretch = tuple[list[str], int | None]  # words, and the number behind them


def enumerates(reasoning: str, sentences: Iterable[Sequence[str]]) -> bool:
    """Whether the reasoning enumerates at least one of the sentences (each a sequence of its words).

    Raises TooMuch for a reasoning that would take more than WORK: long runs that hold words of very many sentences, or
    of a very long one.
    """
    text, work = reasoning.lower(), WORK
    counted = [words for words in sentences if len(words) >= SHORTEST]
    if any(_in_plain_sight(words, text) for words in counted):
        return True
    wanted: list[list[str]] = []
    holders: dict[str, list[int]] = {}  # of each word the places in `wanted` of the sentences that hold it
    for run in _runs(text):
        if len(run) < SHARE * SHORTEST:
            continue
        if not wanted:  # only now: most reasonings count nothing
            wanted = [_plain(map(str.lower, words)) for words in counted]
            for at, words in enumerate(wanted):
                for word in set(words):
                    holders.setdefault(word, []).append(at)
        run = _plain(run)
        held = [holders[word] for word in run if word in holders]
        work = _less(work, sum(map(len, held)))
        shared = Counter(chain.from_iterable(held))
        for at in (at for at, n in shared.items() if n >= SHARE * len(wanted[at])):
            n_words = len(wanted[at])
            work = _less(work, (len(run) + n_words) * (1 + n_words // 512))  # a step is of so many bits
            if _enumerated(wanted[at], run):
                return True
    return False


def _in_plain_sight(words: Sequence[str], text: str) -> bool:
    """Whether a text in lower case counts the words up to the last number with nothing between: " 1 often 2 quiet 3 ".

    Most counts look like that, and are found ten times as fast as by their runs, which say the same.
    """
    last = f" {len(words)} "
    if last not in text or len(words) - 1 < SHARE * len(words):
        return False
    plain = _plain(map(str.lower, words[:-1]))
    return "".join(plain).isalpha() and "".join(f" {n} {word}" for n, word in enumerate(plain, 1)) + last in text


def _less(work: int, steps: int) -> int:
    if steps > work:
        raise TooMuch(f"comparing the words counted with those of the sentences takes more than {WORK:,} steps")
    return work - steps


def _plain(words: Iterable[str]) -> list[str]:
    """What is compared of words in lower case: letters and digits."""
    return [word if word.isalnum() else "".join(filter(str.isalnum, word)) for word in words]


def _runs(text: str) -> Iterator[list[str]]:
    """The words of every stretch of text whose numbers run up by one, for both ways of writing."""
    behind: list[str] = []  # words behind their numbers, and the number that goes on with them
    ahead: list[str] = []  # words in front of their numbers
    goes_on_behind = goes_on_ahead = last = None
    for words, number in _joined(_stretches(text)):
        if words and last is not None:
            if last != goes_on_behind:
                yield behind
                behind = []
            behind.append(words[0])
            goes_on_behind = last + 1
        if words and number is not None:
            if number != goes_on_ahead:
                yield ahead
                ahead = []
            ahead.append(words[-1])
            goes_on_ahead = number + 1
        last = number
    yield behind
    yield ahead


def _stretches(text: str) -> Iterator[_Stretch]:
    """The words in front of each number, and the number; at the end the words behind the last one, and None."""
    start = 0
    for match in _NUMBER.finditer(text):
        end, behind = match.span()
        yield _words(text[start:end]), int(match[0])
        start = behind
    yield _words(text[start:]), None


def _joined(stretches: Iterator[_Stretch]) -> Iterator[_Stretch]:
    """The stretches; a number that is a word itself is one of the words in front of the next."""
    before = last = None  # the two numbers in front
    for stretch, behind in pairwise(chain(stretches, [([], None)])):
        words, number = stretch
        if not words and last is not None and _is_word(before, last, number, behind):
            behind[0].insert(0, str(number))
            continue
        yield stretch
        before, last = last, number


def _is_word(before: int | None, last: int, number: int | None, behind: _Stretch) -> bool:
    """Whether a number directly behind another one, the position of a word, is that word.

    So it is between two positions that follow each other ("5 1999 6"), and behind the last one ("3 in 4 1999").
    """
    words, following = behind
    if number is None or number == 1:
        return number == 1 and not words and following == last + 1  # else it begins a count: "2. 1 Often 2 quiet"
    if following == last + 1:
        return number != following or not words
    return before == last - 1 and number != last + 1 and (bool(words) or following is None)


def _words(stretch: str) -> list[str]:
    word = stretch.strip(" \n.,:;()=*")
    return [word] if word.isalpha() else _WORD.findall(stretch)  # mostly one word, and this is faster


def _enumerated(sentence: list[str], run: list[str]) -> bool:
    return sentence == run or _in_order(sentence, run) >= SHARE * len(sentence)


def _in_order(sentence: list[str], run: list[str]) -> int:
    """Length of the longest common subsequence.

    A row of the usual table as the bits of an integer (Hyyrö 2004, "Bit-parallel LCS-length computation
    revisited"): a bit is 0 where the row's value rises.
    """
    places: dict[str, int] = {}
    for at, word in enumerate(sentence):
        places[word] = places.get(word, 0) | 1 << at
    row = everything = (1 << len(sentence)) - 1
    for word in run:
        same = row & places.get(word, 0)
        row = (row + same | row - same) & everything
    return len(sentence) - row.bit_count()
