"""Which objective a text names: every naming that a reader understands, and what names none."""

import pytest

from confessions.tasks import get as get_task
from confessions.tasks.numbering import LAST, PENULTIMATE, named
from confessions.tasks.word_count.task import TASK

SECOND = [
    *("Sentence 2 has exactly 18 words.", "sentence #2", "SENTENCE 2", "Sentence no. 2", "sentence no 2",
       "Sentence nr. 2"),
    *("Sentence number 2", "Sentence (2)", "Sentence [2]", "**Sentence 2**", "Sentence **2**", "sentence-2",
       "sentence_2"),
    *("Sentence2", "sentence: 2", "Sentence — 2", "Sentence 02", "Sentence\u00a02", "Sentence\n2", "Sent. 2",
       "Sentence ２"),
    *("Sentence ②", "Sentence 2️⃣", "Sentence two", "Sentence-two", "sentence ‘two’", "Sentence II", "Sentence ii:",
       "Sentence Ⅱ"),
    *("Sentence B", "Sentence b)", "sentence second", "2nd sentence", "The 2nd sentence must have 18 words",
       "the second sentence"),
    *("The second sentence has 18 words", "Second sentence: 18 words", "Length of the 2nd sentence",
       "18 words in sentence 2"),
    *("18 words (sentence 2)", "Does sentence 2 have 18 words?", "Sentence 2's length", "Sentence 2/5",
       "Sentence 2 of 5"),
    *("Sentence 2: 18 words", "Sentence 2 words: 18", "Sentence 2 word count", "Sentence 2 is longer than sentence 1"),
    *("2", "2.", "2)", "(2)", "[2]", "2: 18 words", "2. has 18 words", "2 has exactly 18 words", "2 – 18 words",
       "2/5", "2 of 5"),
    *("#2", "#2: 18 words", "No. 2", "№ 2", "Nº 2", "number 2", "Number 2: 18 words", "②", "⑵", "2️⃣ 18 words"),
    *("S2", "S2: 18 words", "S-2: 18", "S2 has 18 words", "s2", "second", "second.", "Second: 18 words",
       "Second, it has 18 words"),
    *("secondly", "the second one", "The second of five sentences", "2nd", "the 2nd", "II", "ii.", "(ii)",
       "II: 18 words"),
    *("Objective 2", "objective two", "Objective 2: Sentence 2", "Item 2", "Requirement #2",
       "1. Sentence 2 has 18 words"),
    *("Satz 2", "Phrase 2", "Frase 2", "2. Satz"),
]  # fmt: skip
NONE = [
    *("", "words", "it", "the middle one", "18 words", "exactly 18 words", "18 words.", "12", "Sentence: 18 words"),
    *("Sentence of 18 words", "Sentence with 18 words", "Sentence 18 words long", "the 18-word sentence",
       "12-word sentence"),
    *("one sentence of 12 words", "Write exactly 5 sentences", "five sentences", "5-sentence paragraph", "3.5 words"),
    *("Sentences 1 and 2", "sentences 1-5", "Sentences 1, 2 and 3", "Sentences 1 to 5 have the right lengths",
       "1,000 words"),
    *("Sentence I wrote has 18 words", "sentence a dog wrote", "Mix of words", "The second 18-word sentence",
       "Sentence length"),
    *("The number of words", "there is no 5 in it", "test #3", "each of 3 4 5 is in it exactly one time.",
       "it has the total 12."),
    *("3+7=10", "It misses the point. 3 cats"),
]  # fmt: skip
OTHERS = {
    "Sentence I": 1, "First": 1, "1st sentence": 1, "Sentence 1 word count": 1, "third sentence": 3, "Sentence IV": 4,
    "sentence twelve": 12, "twenty-first sentence": 21, "Sentence twenty one": 21, "21st sentence": 21,
    "sentence XXI": 21,
    "the hundredth sentence": 100, "Sentence 100": 100, "the last sentence": LAST, "Final sentence": LAST, "Last": LAST,
    "second-to-last sentence": PENULTIMATE, "the penultimate sentence": PENULTIMATE,
}  # fmt: skip


@pytest.mark.parametrize("text", SECOND)
def test_the_second(text: str) -> None:
    assert named(text) == 2


@pytest.mark.parametrize("text", NONE)
def test_none(text: str) -> None:
    assert named(text) is None


@pytest.mark.parametrize(("text", "number"), OTHERS.items())
def test_others(text: str, number: int) -> None:
    assert named(text) == number


@pytest.mark.parametrize("name", ["word_count", "word_count_unlabelled", "countdown", "programming"])
def test_every_task_reads_its_own_objectives(name: str) -> None:
    task = get_task(name)
    objectives = task.objectives(
        {"targets": [12] * 100, "numbers": [3, 4, 5], "target": 12, "title": "", "samples": []}
    )
    assert [task.objective_number(text) for text in objectives] == list(range(1, len(objectives) + 1))


def test_a_long_text_is_read_in_front() -> None:
    assert TASK.objective_number("Sentence 2 " + "and so on " * 100_000) == 2
    assert TASK.objective_number("and so on " * 100_000 + "Sentence 2") is None
