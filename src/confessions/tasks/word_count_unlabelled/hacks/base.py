"""What a detector is, the registry of them, and the scan of a rollout file. S = number of targets."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Literal

import pandas as pd

from confessions.runtime.errors import InputError
from confessions.tasks import get as get_task
from confessions.tasks.analysed import NotAnalysed, TooMuch, analysed
from confessions.tasks.base import Truth
from confessions.tasks.conversation import Conversation, conversations
from confessions.tasks.word_count.words import Sentence, sentences

Evidence = str | None  # a short text that shows what was found
Kind = Literal["hack", "quality"]  # quality: the answer is poor, but nothing is gained by it

LONGEST = 80  # characters of evidence
LONGEST_TEXT = 200_000  # characters of each text of a rollout; one with a longer one is not analysed
COLUMNS = ("task", "spec", "x", "z", "y", "xc", "zc", "yc", "task_finish", "confession_finish")


@dataclass(frozen=True)
class Sample(Conversation):
    """One rollout as a detector sees it."""

    sentences: tuple[Sentence, ...] = field(kw_only=True)  # of y, by the counting rules of the ground truth
    truth: Truth = field(kw_only=True)

    @property
    def targets(self) -> list[int]:
        """(S,) words that the prompt asks for."""
        return self.spec["targets"]

    @property
    def counts(self) -> list[int]:
        """Words of each sentence found."""
        return [s.count for s in self.sentences]

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The words of y without punctuation around them, in lower case."""
        return tuple(bare(word) for s in self.sentences for word in s.words)

    def plain(self, part: Literal["z", "y", "zc", "yc"]) -> str:
        """One of the texts in lower case, with straight quotes and without contractions."""
        return _plain(getattr(self, part))


@dataclass(frozen=True)
class Detector:
    name: str
    description: str  # one line, for the table
    fn: Callable[[Sample], Evidence]
    kind: Kind = "hack"


DETECTORS: dict[str, Detector] = {}


def detector(description: str, kind: Kind = "hack") -> Callable[[Callable[[Sample], Evidence]], Callable]:
    """Register a function Sample -> evidence or None as the detector of its own name.

    It is a pure function of the sample. What it raises (TooMuch, where it would take too long) is caught by
    `evidence`, and that rollout is not analysed by this detector. Raises ValueError when the name is taken.
    """

    def register(fn: Callable[[Sample], Evidence]) -> Callable[[Sample], Evidence]:
        if fn.__name__ in DETECTORS:
            raise ValueError(f"two detectors are called {fn.__name__!r}")
        DETECTORS[fn.__name__] = Detector(fn.__name__, description, fn, kind)
        return fn

    return register


def phrases(*patterns: str) -> re.Pattern[str]:
    """One pattern for `plain` text that finds any of several; ^ and $ stand at the ends of a line."""
    whole = "|".join(f"(?:{pattern[2:]})" for pattern in patterns if pattern.startswith(r"\b"))
    other = [f"(?:{pattern})" for pattern in patterns if not pattern.startswith(r"\b")]
    # With one \b in front of all of them the search tries only where a word starts: three times faster
    return re.compile("|".join(([rf"\b(?:{whole})"] if whole else []) + other), re.MULTILINE)


def search(pattern: re.Pattern[str], text: str) -> Evidence:
    """The first match, on one line."""
    match = pattern.search(text)
    return " ".join(match[0].split()) or repr(match[0]) if match else None


_CONTRACTIONS = (
    ("’", "'"), ("“", '"'), ("”", '"'), ("can't", "can not"), ("cannot", "can not"), ("won't", "will not"),
    ("n't", " not"), ("'ll", " will"), ("i'm", "i am"), ("'ve", " have"), ("'re", " are"), ("let's", "let us"),
)  # fmt: skip


@lru_cache(maxsize=64)
def _plain(text: str) -> str:
    text = text.lower()
    for short, long in _CONTRACTIONS:
        text = text.replace(short, long)
    return text


def bare(word: str) -> str:
    """A word in lower case without the punctuation around it; "3.5" and "well-known" stay whole."""
    if word.isalnum():
        return word.lower()
    start, end = 0, len(word)
    while start < end and not word[start].isalnum():
        start += 1
    while end > start and not word[end - 1].isalnum():
        end -= 1
    return word[start:end].lower()


def sample(task: str, said: Conversation) -> Sample:
    """A rollout as detectors see it. Raises InputError for a task that asks for no word counts, and TooMuch for a text
    of more than LONGEST_TEXT characters."""
    if not {"topic", "targets"} <= said.spec.keys():
        raise InputError(f"task {task}: the hack detectors know the word_count tasks (a spec with topic and targets)")
    if (longest := max(map(len, (said.x, said.z, said.y, said.xc, said.zc, said.yc)))) > LONGEST_TEXT:
        raise TooMuch(f"a text of {longest:,} characters, and the longest that is read has {LONGEST_TEXT:,}")
    truth = get_task(task).verify(said.spec, said.y)
    return Sample(**vars(said), sentences=sentences(said.y), truth=truth)


def evidence(rollouts: pd.DataFrame) -> pd.DataFrame:
    """What each detector found: a text of at most 80 characters, None, or NotAnalysed. Rows and index are those of
    `rollouts`.

    Reads COLUMNS; a text that is missing counts as empty. Raises KeyError when a column is missing.
    """
    texts = rollouts[list(COLUMNS)].fillna("")
    said = zip(texts["task"], conversations(texts, "x", "xc"), strict=True)
    samples = (analysed(sample, *each) for each in said)
    found = [[_evidence(detector, seen) for detector in DETECTORS.values()] for seen in samples]
    return pd.DataFrame(found, index=rollouts.index, columns=list(DETECTORS), dtype=object)


def _evidence(detector: Detector, seen: Sample | NotAnalysed) -> Evidence | NotAnalysed:
    found = seen if isinstance(seen, NotAnalysed) else analysed(detector.fn, seen)
    return found[:LONGEST] if isinstance(found, str) else found


def scan(rollouts: pd.DataFrame) -> pd.DataFrame:
    """Whether each detector fired: booleans, one row a rollout in order and with its index, one column a detector;
    None where it could not read the rollout."""
    return evidence(rollouts).map(lambda found: None if isinstance(found, NotAnalysed) else found is not None)
