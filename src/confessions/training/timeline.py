"""Where the time of a training step goes: one clock, whose seconds go to the part that runs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

OTHER = "other"  # the optimiser, checkpoints, logging, data


class Timeline:
    """Seconds by part. Parts may nest; each second counts for the innermost alone, so that they add up to the whole."""

    def __init__(self):
        self._part, self._since = OTHER, time.perf_counter()
        self._seconds: dict[str, float] = {}

    def _switch(self, part: str) -> str:
        """Let another part's time begin; returns the one that ends. A GPU first finishes what it was given."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now, ended = time.perf_counter(), self._part
        self._seconds[ended] = self._seconds.get(ended, 0.0) + now - self._since
        self._part, self._since = part, now
        return ended

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """The block's time is this part's."""
        outer = self._switch(name)
        try:
            yield
        finally:
            self._switch(outer)

    def take(self) -> dict[str, float]:
        """The seconds of each part since the last call."""
        self._switch(self._part)
        taken, self._seconds = self._seconds, {}
        return taken
