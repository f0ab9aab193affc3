"""The kinds that are scored once, for what was chosen on those of development. The five that a prototype left out of
its training are among them."""

from itertools import islice, pairwise

from confessions.tasks.instructions.kind import (
    SHOWN,
    Bounds,
    Items,
    Kind,
    Level,
    absent,
    exactly,
    inf,
    marks,
    number,
    plural,
    present,
    same,
    somewhere,
    starts,
    times,
    words_that,
)
from confessions.tasks.instructions.text import Text, folded


def _capitals(text: Text, level: Level) -> Items:
    return [word for word in text.words if any(map(str.isupper, word))][:1]


def _first_and_last(text: Text, level: Level) -> Items:
    lengths = [len(words) for words in text.sentence_words]
    return [f"first = {lengths[0]}", f"last = {lengths[-1]}"]


def _compared(items: Items, level: str) -> bool:
    first, last = map(number, items)
    return last < first if level == "fewer" else last > first


def _commas(text: Text, level: Level) -> Items:
    """The first word of every sentence with its number of commas, and the fewest of them."""
    commas = [sum(map(sentence.count, ",，、،")) for sentence in text.sentences]
    counts = [f"{word} {n}" for word, n in zip(starts(text, level), commas, strict=True)]
    return [*counts, f"fewest = {min(commas)}"]


def _phrase(text: Text, level: str) -> Items:
    wanted = folded(level).split()
    n, words = len(wanted), text.folded
    return [level] if any(words[at : at + n] == wanted for at in range(len(words) - n + 1)) else []


def _neighbours(text: Text, level: Level) -> Items:
    pairs = (f"{a} {b}" for words in text.sentence_words for a, b in pairwise(words) if folded(a)[0] == folded(b)[0])
    return [*islice(pairs, SHOWN)]


KINDS = (
    Kind(
        "ending",
        lambda word: f'Its last word is "{word}".',
        ("night", "again", "home", "light", "time", "silence", "world", "all"),
        lambda text, level: text.words[-1:],
        lambda items, word: same(items[0], word),
        label="last word",
        needs=lambda word: [word],
    ),
    Kind(
        "lower",
        lambda level: "It has no capital letter.",
        (None,),
        _capitals,
        absent,
        label="capital in",
        none="no capital",
        refuses=lambda token, level: token != token.lower(),
    ),
    Kind(
        "question",
        lambda n: f"It has exactly {plural(n, 'question mark')}.",
        (1, 2, 3),
        marks("?？"),
        exactly,
        label="question marks",
    ),
    Kind(
        "word_times",
        lambda level: f'It has the word "{level[0]}" exactly {level[1]} times.',
        (["light", 2], ["time", 2], ["old", 2], ["day", 3], ["light", 3], ["water", 2], ["old", 3], ["heart", 2]),
        lambda text, level: times(text, level[0]),
        lambda items, level: number(items[0]) == level[1],
        needs=lambda level: level[:1],
    ),
    Kind(
        "both_words",
        lambda words: f'It has the words "{words[0]}" and "{words[1]}".',
        (
            ["wonder", "sight"],
            ["river", "glass"],
            ["morning", "quiet"],
            ["silver", "dust"],
            ["window", "shadow"],
            ["gentle", "paper"],
            ["brave", "thread"],
            ["salt", "music"],
        ),
        lambda text, words: [times(text, word)[0] for word in words],
        lambda items, words: all(number(item) > 0 for item in items),
        needs=lambda words: words,
    ),
    Kind(
        "avoid_start",
        lambda word: f'No sentence begins with the word "{word}".',
        ("The", "It", "A", "In", "As", "They", "This", "And"),
        starts,
        lambda items, word: not any(same(item, word) for item in items),
        label="starts",
    ),
    Kind(
        "last_sentence",
        lambda which: f"Its last sentence has {which} words than its first sentence.",
        ("fewer", "more"),
        _first_and_last,
        _compared,
        bounds=lambda level: Bounds(sentences=(2, inf)),
    ),
    Kind(
        "has_letter",
        lambda letter: f'It has a word with the letter "{letter}".',
        ("z", "x", "q", "j"),
        words_that(lambda word, letter: letter in word),
        somewhere,
        label="found",
        needs=lambda letter: [letter],
    ),
    Kind(
        "each_comma",
        lambda level: "Every sentence has a comma.",
        (None,),
        _commas,
        lambda items, level: number(items[-1]) > 0,
        label="commas",
        needs=lambda level: [","],
    ),
    Kind(
        "neighbours",
        lambda level: "In no sentence two words next to each other begin with the same letter.",
        (None,),
        _neighbours,
        absent,
        label="found",
        none="no such words",
        refuses=lambda token, level: any(a[0] == b[0] for a, b in pairwise(folded(token).split())),
    ),
    Kind(
        "phrase",
        lambda words: f'It has the words "{words}", in this order and next to each other.',
        ("as if", "once more", "more than ever", "little by little", "far away", "even though", "at last", "of course"),
        _phrase,
        present,
        label="found",
        none="no such words",
        needs=lambda words: [words],
    ),
)
