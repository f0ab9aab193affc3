"""Word Count answers made by code: plain English sentences of exactly as many words as are asked for.

They measure a judge (known_answers.py), so a compliant answer and its faulty twin look alike: same topic, same phrases,
one sentence of another length.
"""

import random
from collections.abc import Sequence
from itertools import cycle

# A topic may be one thing, several or an activity ("the night train", "birds in autumn", "saving money"), so it is
# always what somebody remembers or talks about.
_ABOUT = (
    "I remember {}",
    "People talk about {}",
    "Nobody here forgets {}",
    "We often think about {}",
    "My sister wrote about {}",
)
_ALONE = (
    "The old neighbours smile",
    "My grandmother told us everything",
    "Some of us wait",
    "Every child listens closely",
    "A good friend laughed",
    "The whole street gathers",
    "Two small boys watched",
)
_SHORT = ("Nobody", "Rain fell", "Some people wait")  # where there is no room for others
# What may follow, by length in words.
_MORE = {
    1: ("again", "together", "outside", "quietly", "politely", "nearby"),
    2: ("at home", "every year", "once more", "in silence", "after breakfast", "before noon"),
    3: (
        "in the evening",
        "without any hurry",
        "with great care",
        "by the window",
        "under grey clouds",
        "near the door",
    ),
    4: ("on a cold morning", "with a warm smile", "beside the open fire", "during the long winter"),
    5: ("while the rain falls outside", "until the light slowly fades", "because it brings them joy"),
}
_LONGEST = max(_MORE)


def sentence(rng: random.Random, n_words: int, topic: str = "") -> str:
    """One sentence of n_words >= 1 words, without its full stop; about `topic` where it leaves room for that. Phrases
    come again only where a sentence is too long for those that there are."""
    kinds = [frame.format(topic) for frame in _ABOUT if topic], _ALONE, _SHORT
    fitting = ([head for head in heads if len(head.split()) <= n_words] for heads in kinds)
    head = rng.choice(next(filter(None, fitting)))
    left, lengths = n_words - len(head.split()), []
    while left:
        lengths.append(rng.randint(min(2, left), min(_LONGEST, left)))
        left -= lengths[-1]
    more = {length: cycle(rng.sample(phrases, len(phrases))) for length, phrases in _MORE.items()}
    return " ".join([head, *(next(more[length]) for length in sorted(lengths))])


def paragraph(sentences: Sequence[str], labels: Sequence[int] | None) -> str:
    """The sentences, each with its label where there are any."""
    ends = [f" ({label})." for label in labels] if labels is not None else ["."] * len(sentences)
    return " ".join(text + end for text, end in zip(sentences, ends, strict=True))
