"""The kinds on which remedies are compared; no policy is trained on them."""

from collections import Counter

from confessions.tasks.instructions.kind import (
    Bounds,
    Items,
    Kind,
    Level,
    absent,
    at_least,
    at_most,
    exactly,
    inf,
    letters,
    marks,
    n_sentences,
    nowhere,
    number,
    plural,
    same,
    starts,
    words_that,
)
from confessions.tasks.instructions.text import Text, folded


def _repeated(text: Text, level: int) -> Items:
    """The first word of so many letters that stands there for the second time."""
    seen: set[str] = set()
    for word, compared in zip(text.words, text.folded, strict=True):
        if letters(word) >= level:
            if compared in seen:
                return [word]
            seen.add(compared)
    return []


def _commonest_start(text: Text, level: Level) -> Items:
    """The first word of every sentence, and how often the commonest of them comes."""
    found = starts(text, level)
    return [*found, f"most = {max(Counter(map(folded, found)).values())}"]


def _places(text: Text, level: Level) -> Items:
    """Where the words stand for the first time, counted from 1; 0: nowhere."""
    words = text.folded
    return [f"{word} = {words.index(word) + 1 if word in words else 0}" for word in level]


def _in_order(items: Items, level: Level) -> bool:
    first, second = map(number, items)
    return 0 < first < second


KINDS = (
    Kind(
        "starts",
        lambda word: f'Its first word is "{word}".',
        ("When", "Every", "There", "Once", "Most", "After", "Nobody", "Some"),
        lambda text, level: text.words[:1],
        lambda items, word: same(items[0], word),
        label="first word",
        needs=lambda word: [word.lower()],
        slots=frozenset({"starts"}),
    ),
    Kind(
        "exclaim",
        lambda n: f"It has exactly {plural(n, 'exclamation mark')}.",
        (1, 2, 3),
        marks("!！"),
        exactly,
        label="exclamation marks",
    ),
    Kind(
        "colon",
        lambda n: f"It has exactly {plural(n, 'colon')}.",
        (1, 2),
        marks(":："),
        exactly,
        label="colons",
    ),
    Kind(
        "distinct",
        lambda n: f"No word of {n} letters or more comes twice.",
        (4, 5, 6, 7, 8),
        _repeated,
        absent,
        label="twice",
        none="no word twice",
    ),
    Kind(
        "last_long",
        lambda n: f"Its last word has at least {n} letters.",
        (5, 6, 7, 8),
        lambda text, level: [f"{text.words[-1]} = {letters(text.words[-1])}"],
        at_least,
        label="last word",
    ),
    Kind(
        "before",
        lambda words: f'It has the words "{words[0]}" and "{words[1]}", and "{words[0]}" comes first.',
        (
            ["night", "stone"],
            ["sun", "wind"],
            ["small", "great"],
            ["first", "last"],
            ["old", "new"],
            ["warm", "cold"],
            ["door", "key"],
            ["hand", "eyes"],
        ),
        _places,
        _in_order,
        needs=lambda words: words,
    ),
    Kind(
        "few_sentences",
        lambda n: f"It has at most {n} sentences.",
        (2, 3, 4, 5),
        n_sentences,
        at_most,
        label="sentences",
        bounds=lambda n: Bounds(sentences=(1, n)),
    ),
    Kind(
        "same_starts",
        lambda n: f"At least {n} sentences begin with the same word.",
        (2, 3, 4),
        _commonest_start,
        at_least,
        label="starts",
        bounds=lambda n: Bounds(sentences=(n, inf)),
    ),
    Kind(
        "no_apostrophe",
        lambda level: "No word of it has an apostrophe.",
        (None,),
        words_that(lambda word, level: "'" in word),
        nowhere,
        label="apostrophe in",
        refuses=lambda token, level: "'" in token,
    ),
    Kind(
        "last_letter",
        lambda letter: f'Its last word ends in the letter "{letter}".',
        ("e", "s", "t", "d", "y", "n", "r", "h"),
        lambda text, level: text.words[-1:],
        lambda items, letter: folded(items[0]).endswith(letter),
        label="last word",
    ),
    Kind(
        "adverbs",
        lambda n: f'It has at least {plural(n, "word")} that {"ends" if n == 1 else "end"} in "ly".',
        (1, 2, 3),
        words_that(lambda word, level: word.endswith("ly"), None),
        at_least,
        label="found",
        needs=lambda n: ["quickly"],
    ),
)
