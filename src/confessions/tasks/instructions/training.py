"""The kinds that policies are trained on."""

import re
from collections.abc import Callable
from itertools import islice

from confessions.tasks.instructions.kind import (
    BLANK,
    SHOWN,
    Bounds,
    Items,
    Kind,
    Level,
    absent,
    among,
    at_least,
    at_most,
    by_sentence,
    counted,
    exactly,
    inf,
    letters,
    longest_sentence,
    longest_words,
    marks,
    n_sentences,
    nowhere,
    number,
    plural,
    present,
    runs_with,
    same,
    sentence_lengths,
    shortest_sentence,
    somewhere,
    starts,
    words_that,
)
from confessions.tasks.instructions.text import Text, core, folded
from confessions.tasks.numbering import CARDINALS

_NUMBER_WORDS = frozenset(CARDINALS) - {"one"}
_QUOTED = re.compile(r"(?<![\w\"])\"([^\"\n]++)\"|“([^“”\n]++)”")
_BOLD = re.compile(r"\*\*[^*\n]++\*\*")
_BULLET, _NUMBERED = re.compile(r"[-*•]\s+\S"), re.compile(r"\d{1,2}[.)]\s+(?=\S)")
_CLOSERS = "\"'”’)]*_ "
_ENDS = {"question mark": "?？", "exclamation mark": "!！"}


def _quotes(text: Text, level: Level) -> Items:
    """The first word of each quotation."""
    found = (core(word) for a, b in _QUOTED.findall(text.raw) for word in (a or b).split()[:1])
    return [*islice(filter(None, found), SHOWN)]


def _up_to_a_repeat(text: Text, level: Level) -> Items:
    seen: set[str] = set()
    found: Items = []
    for word in starts(text, level):
        found.append(word)
        if folded(word) in seen:
            break
        seen.add(folded(word))
    return found


def _all_differ(items: Items, level: Level) -> bool:
    return len(set(map(folded, items))) == len(items)


def _names(text: Text, level: int) -> Items:
    return by_sentence([word for word in words[1:] if _is_name(word)] for words in text.sentence_words)


def _is_name(word: str) -> bool:
    return word[0].isupper() and letters(word) > 1 and not word.isupper()


def _end(at: int):
    """The mark at which a sentence (0: the first, -1: the last) ends."""

    def find(text: Text, level: Level) -> Items:
        return [text.sentences[at].rstrip(_CLOSERS)[-1:]]

    return find


def _second(text: Text, level: Level) -> Items:
    return starts(text, level)[1:2]


def _parity(items: Items, level: str) -> bool:
    return number(items[-1]) % 2 == (level == "odd")


def _words(text: Text, level: Level) -> Items:
    """The length of every sentence, and of all together."""
    return [*sentence_lengths(text, level), f"in all = {len(text.words)}"]


def _first_word(line: str) -> str:
    return next(filter(None, map(core, line.split())), BLANK)


def _followed(of_level: Callable[[Level], str]) -> Callable[[Text, Level], Items]:
    """In each sentence what follows a word, which the level names, each time that it is there."""

    def find(text: Text, level: Level) -> Items:
        word = folded(of_level(level))
        each = zip(text.sentence_folded, text.sentence_words, strict=True)
        pairs = (zip(compared, [*words[1:], "the end"], strict=True) for compared, words in each)
        return by_sentence([then for this, then in pair if this == word] for pair in pairs)

    return find


KINDS = (
    Kind(
        "no_comma",
        lambda level: "It has no comma.",
        (None,),
        runs_with(",，、،"),
        absent,
        label="comma after",
        none="no comma",
        refuses=lambda token, level: "," in token,
    ),
    Kind(
        "commas",
        lambda n: f"It has at least {plural(n, 'comma')}.",
        (2, 3, 4, 6, 5, 8),
        marks(",，、،"),
        at_least,
        label="commas",
        needs=lambda n: [","],
    ),
    Kind(
        "semicolon",
        lambda n: f"It has exactly {plural(n, 'semicolon')}.",
        (1, 2),
        marks(";；"),
        exactly,
        label="semicolons",
        needs=lambda n: [";"],
    ),
    Kind(
        "dash",
        lambda level: "It has a dash (— or –).",
        (None,),
        runs_with("—–"),
        present,
        label="dash after",
        none="no dash",
        needs=lambda level: ["—"],
    ),
    Kind(
        "no_hyphen",
        lambda level: "No word of it has a hyphen.",
        (None,),
        words_that(lambda word, level: "-" in word or "‑" in word),
        nowhere,
        label="hyphen in",
        refuses=lambda token, level: "-" in token,
    ),
    Kind(
        "quote",
        lambda level: "It has a quotation in double quotation marks.",
        (None,),
        _quotes,
        present,
        label="quoted",
        none="no quotation",
        needs=lambda level: ['"'],
    ),
    Kind(
        "bold",
        lambda n: f"It has at least {plural(n, 'part')} in bold (**like this**).",
        (1, 2, 3),
        lambda text, n: counted(islice(map(_first_word, _BOLD.findall(text.raw)), n + 1)),
        at_least,
        label="bold",
    ),
    Kind(
        "at_least_words",
        lambda n: f"It has at least {n} words.",
        (25, 40, 50, 60, 70, 80, 90, 100),
        _words,
        at_least,
        label="sentence words",
        bounds=lambda n: Bounds(words=(n, inf)),
        slots=frozenset({"words"}),
    ),
    Kind(
        "at_most_words",
        lambda n: f"It has at most {n} words.",
        (25, 30, 40, 50, 35, 60),
        _words,
        at_most,
        label="sentence words",
        bounds=lambda n: Bounds(words=(1, n)),
        slots=frozenset({"words"}),
    ),
    Kind(
        "many_sentences",
        lambda n: f"It has at least {n} sentences.",
        (3, 4, 5, 6, 7),
        n_sentences,
        at_least,
        label="sentences",
        bounds=lambda n: Bounds(sentences=(n, inf)),
        slots=frozenset({"sentences"}),
    ),
    Kind(
        "parity",
        lambda which: f"Its number of sentences is {which}.",
        ("even", "odd"),
        n_sentences,
        _parity,
        label="sentences",
        slots=frozenset({"sentences"}),
    ),
    Kind(
        "long_sentences",
        lambda n: f"No sentence has more than {n} words.",
        (10, 12, 14, 16, 18, 20),
        longest_sentence,
        at_most,
        label="sentence words",
        bounds=lambda n: Bounds(sentence_words=(1, n)),
        slots=frozenset({"lengths"}),
    ),
    Kind(
        "long_one",
        lambda n: f"At least one sentence has {n} words or more.",
        (15, 18, 20, 22, 25, 30),
        longest_sentence,
        at_least,
        label="sentence words",
        bounds=lambda n: Bounds(words=(n, inf)),
        slots=frozenset({"lengths"}),
    ),
    Kind(
        "short_one",
        lambda n: f"At least one sentence has {n} words or fewer.",
        (3, 4, 5, 6, 7, 8),
        shortest_sentence,
        at_most,
        label="sentence words",
        slots=frozenset({"lengths"}),
    ),
    Kind(
        "each_long",
        lambda n: f"Every sentence has at least {n} words.",
        (6, 8, 9, 10, 11, 12),
        shortest_sentence,
        at_least,
        label="sentence words",
        bounds=lambda n: Bounds(sentence_words=(n, inf)),
        slots=frozenset({"lengths"}),
    ),
    Kind(
        "word",
        lambda word: f'It has the word "{word}".',
        ("seldom", "copper", "lantern", "across", "meanwhile", "velvet", "distant", "hollow"),
        words_that(lambda word, level: word == level),
        somewhere,
        label="found",
        needs=lambda word: [word],
    ),
    Kind(
        "avoid_word",
        lambda word: f'It does not have the word "{word}".',
        ("and", "is", "in", "with", "of", "to", "was", "as"),
        _followed(lambda word: word),
        nowhere,
        label="followed by",
        refuses=among,
        slots=frozenset({"common words"}),
    ),
    Kind(
        "at_most_times",
        lambda level: f'It has the word "{level[0]}" at most {level[1]} times.',
        (["the", 2], ["the", 3], ["a", 2], ["the", 4], ["and", 2], ["a", 3], ["and", 3], ["the", 5]),
        _followed(lambda level: level[0]),
        lambda items, level: number(items[-1]) <= level[1],
        label="followed by",
        slots=frozenset({"common words"}),
    ),
    Kind(
        "avoid_letter",
        lambda letter: f'No word of it has the letter "{letter}".',
        ("k", "v", "b", "p", "g", "y", "f", "j"),
        words_that(lambda word, letter: letter in word),
        nowhere,
        label="in",
        refuses=lambda token, letter: letter in folded(token),
    ),
    Kind(
        "long_words",
        lambda n: f"No word of it has more than {n} letters.",
        (8, 9, 7, 10, 11),
        longest_words,
        at_most,
        label="longest",
        refuses=lambda token, n: any(letters(word) > n for word in token.split()),
    ),
    Kind(
        "giant",
        lambda n: f"It has a word of at least {n} letters.",
        (10, 11, 12, 13, 14),
        longest_words,
        at_least,
        label="longest",
        needs=lambda n: ["x" * n],
    ),
    Kind(
        "avoid_suffix",
        lambda suffix: f'No word of it ends in "{suffix}".',
        ("ing", "ed", "ly", "er", "es", "al"),
        words_that(lambda word, suffix: word.endswith(suffix)),
        nowhere,
        label="found",
        refuses=lambda token, suffix: any(word.endswith(suffix) for word in folded(token).split()),
    ),
    Kind(
        "number",
        lambda n: f"It has at least {plural(n, 'number')} from two on, written as a word (such as seven).",
        (1, 2),
        words_that(lambda word, level: not _NUMBER_WORDS.isdisjoint(word.split("-")), None),
        at_least,
        label="found",
    ),
    Kind(
        "name",
        lambda n: f"It has at least {plural(n, 'word')} with a capital letter inside a sentence, not at its beginning.",
        (1, 2, 3),
        _names,
        at_least,
        label="found",
        needs=lambda n: ["Name"],
    ),
    Kind(
        "new_starts",
        lambda level: "Every sentence begins with another word than the ones before it.",
        (None,),
        _up_to_a_repeat,
        _all_differ,
        label="starts",
        slots=frozenset({"starts"}),
    ),
    Kind(
        "first_letter",
        lambda letter: f'Its first word begins with the letter "{letter}".',
        ("s", "w", "m", "b", "h", "f", "d", "l"),
        lambda text, level: text.words[:1],
        lambda items, letter: folded(items[0]).startswith(letter),
        label="first word",
        slots=frozenset({"first"}),
    ),
    Kind(
        "first_long",
        lambda n: f"Its first word has at least {n} letters.",
        (3, 4, 5, 6, 7),
        lambda text, level: [f"{text.words[0]} = {letters(text.words[0])}"],
        at_least,
        label="first word",
        slots=frozenset({"first"}),
    ),
    Kind(
        "second",
        lambda word: f'Its second sentence begins with the word "{word}".',
        ("But", "It", "Then", "However", "Still", "They", "Yet", "Here"),
        _second,
        lambda items, word: bool(items) and same(items[0], word),
        label="second starts",
        none="no second sentence",
        needs=lambda word: [word.lower()],
        bounds=lambda word: Bounds(sentences=(2, inf)),
        slots=frozenset({"starts"}),
    ),
    Kind(
        "last_start",
        lambda word: f'Its last sentence begins with the word "{word}".',
        ("Finally", "And", "So", "Now", "Perhaps", "Then", "Always", "Today"),
        lambda text, level: starts(text, level)[-1:],
        lambda items, word: same(items[0], word),
        label="last starts",
        needs=lambda word: [word.lower()],
        slots=frozenset({"starts", "first"}),
    ),
    Kind(
        "first_end",
        lambda mark: f"Its first sentence ends with {'an' if mark[0] == 'e' else 'a'} {mark}.",
        ("question mark", "exclamation mark"),
        _end(0),
        lambda items, mark: items[0] != "" and items[0] in _ENDS[mark],
        label="first ends",
        slots=frozenset({"end"}),
    ),
    Kind(
        "last_end",
        lambda mark: f"Its last sentence ends with {'an' if mark[0] == 'e' else 'a'} {mark}.",
        ("question mark", "exclamation mark"),
        _end(-1),
        lambda items, mark: items[0] != "" and items[0] in _ENDS[mark],
        label="last ends",
        slots=frozenset({"end"}),
    ),
    Kind(
        "lines",
        lambda n: f"It has exactly {plural(n, 'line')}; blank lines do not count.",
        (1, 2, 3, 4, 5),
        lambda text, level: counted(map(_first_word, text.lines)),
        exactly,
        label="lines",
        bounds=lambda n: Bounds(sentences=(n, inf), words=(n, inf)),
        slots=frozenset({"lines"}),
    ),
    Kind(
        "bullets",
        lambda n: f'It has exactly {n} lines that begin with "- ".',
        (2, 3, 4, 5),
        lambda text, level: counted(_first_word(line) for line in text.lines if _BULLET.match(line)),
        exactly,
        label="bullets",
        bounds=lambda n: Bounds(sentences=(n, inf)),
        slots=frozenset({"lines"}),
    ),
    Kind(
        "numbered",
        lambda n: f'It has exactly {n} numbered lines ("1. ", "2. " and so on).',
        (2, 3, 4, 5),
        lambda text, level: counted(
            _first_word(_NUMBERED.sub("", line)) for line in text.lines if _NUMBERED.match(line)
        ),
        exactly,
        label="numbered lines",
        bounds=lambda n: Bounds(sentences=(n, inf)),
        slots=frozenset({"lines"}),
    ),
)
