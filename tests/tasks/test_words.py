"""Answers with known truth: headings, markup, markers and introductions of every kind, and 21,000 from a grammar."""

import random
import time

import pytest
from answer_grammar import (
    EMPHASIS,
    HEADINGS,
    LABELS,
    LEADING,
    LINE_ENDS,
    MARKERS,
    PLAIN,
    REMARKS,
    RUNNING,
    Answer,
    answer,
    marked,
)  # fmt: skip
from hypothesis import example, given, settings
from hypothesis import strategies as st

from confessions.tasks.word_count import headings
from confessions.tasks.word_count import words as _words
from confessions.tasks.word_count.task import TASK
from confessions.tasks.word_count.words import sentences, words

TWO = "The cat sat (3). Dogs ran (2)."
FOUND = [(3, 3), (2, 2)]
BARE = [(3, None), (2, None)]


def found(text: str) -> list[tuple[int, int | None]]:
    return [(s.count, s.label) for s in sentences(text)]


def check(drawn: Answer) -> None:
    assert found(drawn.text) == list(zip(drawn.counts, drawn.labels, strict=True)), drawn.text


@pytest.mark.parametrize("part", range(4))
def test_answers_of_the_grammar(part: int) -> None:
    rng = random.Random(part)
    for _ in range(5000):
        check(answer(rng))


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    """As the grammar's, but each part drawn by hypothesis, which then shows the smallest that is read wrongly."""
    marker = draw(st.sampled_from(["", *MARKERS]))
    form = draw(st.sampled_from([None, *LABELS]))
    bodies = st.tuples(st.integers(0, 12), st.sampled_from(["{w}", *EMPHASIS]))
    lines, counts, labels = [], [], []
    for n, (length, emphasis) in enumerate(draw(st.lists(bodies, min_size=1, max_size=5)), 1):
        label = draw(st.integers(1, 999)) if form else None
        ends = [f". {form.format(n=label)}", f" {form.format(n=label)}."] if form else [".", "!", "?"]
        body = " ".join(["The", *PLAIN[:length], emphasis.format(w="old"), "dog"])
        lines.append(marked(marker, n) + body + draw(st.sampled_from(ends)))
        counts.append(length + 3)
        labels.append(label)
    heads = [form.replace("{t}", "Cats and dogs") for form in draw(st.lists(st.sampled_from(HEADINGS), max_size=3))]
    remarks = draw(st.lists(st.sampled_from(REMARKS), max_size=1))
    text = "\n\n".join([*heads, draw(st.sampled_from(["\n", "\n\n"])).join(lines), *remarks])
    return Answer(text.replace("\n", draw(st.sampled_from(LINE_ENDS))), counts, labels)


@settings(max_examples=1000, deadline=None)
@given(answers())
@example(Answer("# Cats\r\nThe cat sat (3).", [3], [3]))
def test_answers_of_hypothesis(drawn: Answer) -> None:
    check(drawn)


@pytest.mark.parametrize("form", [*HEADINGS, *LEADING])
def test_headings_are_no_sentences(form: str) -> None:
    heading = form.replace("{t}", "Cats and dogs")
    for text in (f"{heading}\n\n{TWO}", f"  {heading} \t\n \n{TWO}", f"{heading}\n\n{heading}\n\n{TWO}"):
        if form in LEADING and text.count(heading) > 1:
            continue  # an introduction to another
        for end in ("\n", "\r\n", "\r"):
            assert found(text.replace("\n", end)) == FOUND, text
    if form not in ("{t}", *LEADING):
        assert found(f"{heading}\n{TWO}") == FOUND
        assert found(f"The cat sat (3).\n\n{heading}\n\nDogs ran (2).") == FOUND
    assert TASK.verify({"targets": [3, 2]}, f"{heading}\n\n{TWO}").compliant


@pytest.mark.parametrize("remark", REMARKS)
def test_remarks_that_count_are_no_sentences(remark: str) -> None:
    assert found(f"{TWO}\n\n{remark}") == FOUND
    assert found(f"The cat sat. Dogs ran.\n\n{remark}") == BARE


def test_a_remark_may_stand_behind_the_last_sentence() -> None:
    assert found(f"{TWO} (Total: 5 words)") == FOUND
    assert found("The cat sat. Dogs ran. Total: 5 words") == BARE


@pytest.mark.parametrize("marker", MARKERS)
def test_markers_are_no_words(marker: str) -> None:
    one, two = marked(marker, 1), marked(marker, 2)
    assert found(f"{one}The cat sat (3).\n{two}Dogs ran (2).") == FOUND
    assert found(f"{one}The cat sat. (3)\n\n{two}Dogs ran. (2)") == FOUND
    assert found(f"{one}The cat sat.\n{two}Dogs ran.") == BARE
    if ">" not in marker:  # what begins a line, not a sentence
        assert words(f"{two}Dogs ran") == ("Dogs", "ran")


@pytest.mark.parametrize("marker", RUNNING)
def test_a_list_on_one_line(marker: str) -> None:
    one, two = marked(marker, 1), marked(marker, 2)
    assert found(f"{one}The cat sat. {two}Dogs ran.") == BARE
    assert found(f"{one}the cat sat. {two}dogs ran.") == BARE
    assert found(f"{one}The cat sat (3). {two}Dogs ran (2).") == FOUND
    if "(" not in marker:
        assert found(f"{one}The cat sat {two}Dogs ran") == BARE


@pytest.mark.parametrize("form", LABELS)
def test_labels(form: str) -> None:
    assert found(f"The cat sat {form.format(n=3)}. Dogs ran. {form.format(n=2)}") == FOUND


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("1.\nThe cat sat (3).\n2.\nDogs ran (2).", FOUND),
        ("Sentence 1\nThe cat sat (3).\nSentence 2\nDogs ran (2).", FOUND),
        ("Sentence 1 (3 words)\nThe cat sat.\nSentence 2 (2 words)\nDogs ran.", BARE),
        ("(1)\nThe cat sat.\n(2)\nDogs ran.", BARE),
        ("I. The cat sat (3).\nII. Dogs ran (2).", FOUND),
        ("I. Newton ran (3).", [(3, 3)]),
        ("```text\nThe cat sat (3). Dogs ran (2).\n```", FOUND),
        ("Here it is:\n\n```markdown\n# Cats\nThe cat sat (3). Dogs ran (2).\n```\n", FOUND),
        ("The [cat](http://a.b/c \"t\") sat (3). Dogs[^1] ran (2).\n\n[^1]: Fast ones.", FOUND),
        ("The <b>cat</b> <span style=\"x y\">sat</span> (3).<br>Dogs <em>ran</em> (2).", FOUND),
        ("<p>The cat sat (3).</p><p>Dogs ran (2).</p>", FOUND),
        ("<ol>\n<li>The cat sat. (3)</li>\n<li>Dogs ran. (2)</li>\n</ol>", FOUND),
        ("The&nbsp;cat sat (3). Dogs&#32;ran (2).", FOUND),
        ("a<b and c>d", [(3, None)]),
        ("See <http://a.b/?c=d> now.", [(3, None)]),
        ("| # | Sentence | Words |\n|---|---|---|\n| 1 | The cat sat. | 3 |\n| 2 | Dogs ran. | 2 |", BARE),
        ("Sentence | Words\n--- | ---\nThe cat sat (3). | 3\nDogs ran (2). | 2", FOUND),
        ("| The cat sat. | (3) |\n| Dogs ran. | (2) |", FOUND),
        ("The cat sat (3).[1] Dogs ran (2).[2]", FOUND),
        ("The cat sat (3).¹ Dogs ran (2).²", FOUND),
        ("> The cat sat (3).\n> Dogs ran (2).", FOUND),
        ("**Paragraph:** The cat sat (3). Dogs ran (2).", FOUND),
        ("Answer: The cat sat (3). Dogs ran (2).", FOUND),
        ("rain---wind blew (3)", [(3, 3)]),
        ("The cat sat :) (3)\nDogs ran (2)", FOUND),
    ],
)  # fmt: skip
def test_markup(text: str, truth: list) -> None:
    assert found(text) == truth


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("The twelve (12)\nmen ran off (5).", [(6, 5)]),  # a line break is a space
        ("The twelve (12)\r\nmen ran off (5).", [(6, 5)]),
        ("The twelve (12) *big* men (5).", [(5, 5)]),
        ("The twelve (12)\n— and so on — ran (5).", [(7, 5)]),
        ("The cat sat (3)\nDogs ran (2)", FOUND),
        ("the cat sat (3)\ndogs ran (2)", FOUND),  # all of it in small letters
        ("The cat sat.\n(3)\ndogs ran.\n(2)", FOUND),  # behind a full stop
        ("The captain of the\n*Queen Mary*\nsat down (8).", [(8, 8)]),
    ],
)
def test_a_line_break_ends_no_sentence(text: str, truth: list) -> None:
    assert found(text) == truth


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("**The cat sat.**\n**Dogs ran.**", BARE),
        ("*The cat sat*\n\n*Dogs ran*", BARE),  # where all is in italics, none is a heading
        ("**The cat sat**\n(3)\n\n**Dogs ran**\n(2)", FOUND),
        ("### Sentence 1: The cat sat.\n### Sentence 2: Dogs ran.", BARE),
        ("# Cats (3)", [(1, 3)]),
        ("One word counts (3). Each word counts.", [(3, 3), (3, None)]),
        ("the cat sat\n\ndogs ran", BARE),
        ("The cat sat (3).\n\nDogs ran\n\nBirds sang (2).", [(3, 3), (2, None), (2, 2)]),
        (f"{TWO}\n\nThe birds sang in the", [*FOUND, (5, None)]),  # cut off
        (f"Sure!\n\n{TWO}", [(1, None), *FOUND]),
        ("The cat sat. Dogs ran. They said:", BARE[:0]),
        ("Birds sang.\n\nThe cat sat. They said:\n\nDogs ran.", [(2, None), (3, None), (2, None)]),
        ("It ended in 1999. He left.", [(4, None), (2, None)]),
    ],
)
def test_what_is_a_sentence_stays_one(text: str, truth: list) -> None:
    assert found(text) == truth


def test_past_many_lines_all_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is lost: what is not read line by line is surplus, if anything."""
    monkeypatch.setattr(headings, "LINES", 3)
    assert found(f"# Cats\n\n{TWO}\n# Birds\nBirds sang (2).") == [*FOUND, (3, 2)]


def test_past_many_sentences_the_rest_is_one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_words, "SENTENCES", 2)
    assert found(f"{TWO} Birds sang (2). All (1).") == [*FOUND, (3, None), (2, None)]  # no more labels are read
    monkeypatch.setattr(_words, "_WINDOW", 20)
    assert found("The cat sat. Dogs ran. It rained on. Birds sang too. Bees hum.") == [*BARE, (8, None)]


WORST = [
    *("A b\n\nC.\n\n", "- a\n", "1. A 2. B ", "1. a\n", "a (12)\n", "(12)\nB ", "雨が降った。", "ab!", "**a**\n",
       "*a*\n", "“a”\n"),
    *("x. y\nB:\n", "a:\n", "| a |\n", "<a ", "<!--", "[a", "[a]: /", "(", "( ", "the end ", "of the ", "“ A b C",
       "’```a ", "`a ", "« "),
    *("*" * 40 + "a ", " \n", "> ", "a\n===\n", "&", "sentence (", "Total 1 "),
]  # fmt: skip


@pytest.mark.parametrize("unit", WORST)
def test_time_is_linear_in_the_text(unit: str) -> None:
    """Twice the text takes no more than three times as long; at quadratic time it would be four."""

    def seconds(n: int) -> float:
        text, best = unit * (n // len(unit)), float("inf")
        for _ in range(3):
            start = time.process_time()
            _words._found(text)
            best = min(best, time.process_time() - start)
        return best

    assert seconds(20_000) <= 3 * seconds(10_000) + 0.01
