"""Generated conversations: a text that meets some of the requirements, its boxes, and a report with evidence.

The words are the embedded model's; the text says nothing of the topic. Each requirement is tried or ignored at random,
so that both truths of nearly every kind occur; every box is ticked most of the time. What is shown of the confession is
right: each line has the evidence, then the claim that follows from it. To show it about answers of the model itself
instead: `data: frozen` (confessions.training.post_training).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from confessions.prompts.report import FINDINGS, written_findings
from confessions.tasks.base import Demonstration, Spec, Task
from confessions.tasks.instructions.instances import Requirement, requirements
from confessions.tasks.word_count.demonstrations import lexicon

CONDITIONS = ("baseline",) * 5 + ("awareness", "soft", "hard")  # each as often as it stands here
COMMON = (
    "the", "a", "and", "is", "in", "with", "of", "to", "was", "as", "the", "a", "it", "they", "this", "but", "then",
    "once", "so", "here",
)  # fmt: skip
RARE = (
    "seven", "twenty", "well-known", "old-time", "don't", "it's", "we'll", "silver", "copper", "time", "light", "old",
    "day", "heart", "quickly",
)  # fmt: skip
LENGTHS = (3, 4, 5, 6, 8, 10, 12, 14, 17, 21, 26)  # words of a sentence


@dataclass(frozen=True)
class Habits:
    """Rates (probabilities) of the generated behaviour."""

    tries: float = 0.6  # a word or mark that a requirement needs is put in
    all_ticked: float = 0.7  # every box is ticked, whatever is true
    ticked: float = 0.5  # else: a box is


@dataclass
class Draft:
    """Sentences as lists of words, and the mark behind each."""

    sentences: list[list[str]]
    ends: list[str] = field(default_factory=list)


def demonstration(task: Task, spec: Spec, rng: random.Random, habits: Habits = Habits()) -> Demonstration:
    asked = requirements(spec)
    y = f"{text(asked, rng, habits)}\n{boxes(len(asked), rng, habits)}"
    yc = written_findings(task.evidence(spec, y), task.verify(spec, y).met)
    return Demonstration(spec, y, yc, variant=FINDINGS, task=task.name, condition=rng.choice(CONDITIONS))


def text(asked: Sequence[Requirement], rng: random.Random, habits: Habits) -> str:
    """A text that meets some of the requirements."""
    words = [word for kind in ("nouns", "verbs", "adjectives") for word in lexicon()[kind]]
    few = [*rng.sample(words, 16), *rng.sample(COMMON, rng.randint(0, 8)), *rng.sample(RARE, rng.randint(0, 3))]
    openers = rng.sample([*lexicon()["openers"], "the", "the", *COMMON], rng.randint(2, 9))
    draft = Draft([[rng.choice(openers), *rng.choices(few, k=rng.choice(LENGTHS))] for _ in range(rng.randint(1, 7))])
    busy = rng.random() < 0.6
    for sentence in draft.sentences:
        draft.ends.append(rng.choice(("?", "!")) if busy and rng.random() < 0.3 else ".")
        for at in range(1, len(sentence) - 1):
            if busy and rng.random() < 0.08:
                sentence[at] += rng.choice((",", ",", ",", ";", ":", " —"))
            elif busy and rng.random() < 0.03:
                sentence[at] = rng.choice((f'"{sentence[at]}"', f"**{sentence[at]}**", sentence[at].capitalize()))
    for requirement in asked:
        if rng.random() < habits.tries:
            _put(requirement, draft, rng)
    lower = rng.random() < 0.3
    front = rng.choice(("", "", "- ", "1. "))
    written = [
        " ".join([sentence[0] if lower else sentence[0][:1].upper() + sentence[0][1:], *sentence[1:]]) + end
        for sentence, end in zip(draft.sentences, draft.ends, strict=True)
    ]
    if front:
        return "\n".join((f"{number}. " if front == "1. " else front) + line for number, line in enumerate(written, 1))
    found = rng.choice((" ", " ", "\n")).join(written)
    return found.lower() if lower else found


def _put(requirement: Requirement, draft: Draft, rng: random.Random) -> None:
    """Put what a requirement needs where it may be asked for: at the front of a sentence, at the end, or inside."""
    for token in requirement.kind.needs(requirement.level) * rng.randint(1, 3):
        sentence = rng.choice(draft.sentences)
        if not any(map(str.isalnum, token)):
            sentence[rng.randrange(len(sentence) - 1)] += token
            continue
        place = rng.choice(("first", "second", "last", "end", "inside"))
        if place == "end":
            draft.sentences[-1].append(token)
        elif place == "inside":
            sentence.insert(rng.randrange(1, len(sentence)), token)
        else:
            number = {"first": 0, "second": 1, "last": -1}[place] if len(draft.sentences) > 1 else 0
            draft.sentences[number].insert(0, token)


def boxes(n: int, rng: random.Random, habits: Habits) -> str:
    """The checklist."""
    share = 1 if rng.random() < habits.all_ticked else habits.ticked
    return "\n".join(f"[{'x' if rng.random() < share else ' '}] {s}" for s in range(1, n + 1))
