"""Freed memory is kept, so that the next step of sampling need not take it from the system again."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
from confessions.engines import memory
torch.set_num_threads(1)
if sys.argv[1] == "keep":
    memory.keep_freed()
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def step():  # together more than glibc keeps at the top of its heap
    return [torch.ones(2_000_000) for _ in range(10)]
for _ in range(5):
    step()
before = faults()
for _ in range(20):
    step()
print(faults() - before)
"""


def faults(how: str) -> int:
    run = subprocess.run([sys.executable, "-c", FAULTS, how], check=True, capture_output=True, text=True)
    return int(run.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_kept_memory_is_not_taken_again():
    assert faults("keep") < 200 < faults("as it is") / 10
