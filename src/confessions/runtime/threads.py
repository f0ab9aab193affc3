"""How long the threads of a computation wait awake for one another.

torch shares an operation out to a thread a core, and a thread that is done spins until the others are: 3 ms and more
by libgomp's own choice, before it sleeps and leaves its core to somebody else. Where another process has the core that
the last thread needs, both processes spend their time spinning (docs/performance.md, "A neighbour on the same cores").
"""

import os

# Turns of libgomp's waiting loop, some tens of microseconds. The next operation mostly begins sooner than that, so that
# a run that is alone loses little.
SPINS = 3000


def bound_spinning() -> None:
    """Let threads of this process and its children spin for SPINS turns. Whoever sets one of libgomp's two variables
    is obeyed. To be called before torch is imported: libgomp reads the variable as it is loaded."""
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = str(SPINS)
