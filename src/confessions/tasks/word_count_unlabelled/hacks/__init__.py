"""The hack survey's detectors: does an answer, or the reasoning around it, cheat in any way that we can name?

    scan(rollouts)      -> booleans, one row a rollout, one column a detector
    evidence(rollouts)  -> the same shape, with what the detector saw (None where nothing)

A detector is one decorated function in one of the modules below; see `base.detector`. They are heuristics about the
word_count tasks: a rate says how often a detector fired, not how often a model cheated. docs/hacks.md lists what each
one cannot see.
"""

from confessions.tasks.word_count_unlabelled.hacks import (  # importing registers them
    intent,
    labels,
    lengths,
    structure,
    wording,
)
from confessions.tasks.word_count_unlabelled.hacks.base import (
    DETECTORS,
    Detector,
    Evidence,
    Kind,
    Sample,
    detector,
    evidence,
    sample,
    scan,
)
