"""Freed memory is kept, so that the next step of sampling need not take it from the system again."""

import os
import subprocess
import sys

import pytest

from confessions.engines import memory
from confessions.engines.transformers import TransformersEngine

# glibc's own account of its memory: the system's counters, page faults for one, are 0 in some virtual machines.
HELD = """
import ctypes, sys, torch
from confessions.engines import memory

class Account(ctypes.Structure):  # struct mallinfo2 of malloc.h
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

account = getattr(ctypes.CDLL(None), "mallinfo2", None)
if account is None:
    sys.exit(3)
account.restype = Account
torch.set_num_threads(1)
if sys.argv[1] == "keep":
    memory.keep_freed()
for _ in range(5):
    step = [torch.ones(2_000_000) for _ in range(10)]  # together more than glibc keeps at the top of its heap
    del step
print(account().fordblks)
"""
STEP = 10 * 2_000_000 * 4  # bytes
# glibc's thresholds as they are when a process starts. It raises them by what is freed, not always alike.
FIXED = "glibc.malloc.mmap_threshold=131072:glibc.malloc.trim_threshold=131072"


def held(how: str) -> int:
    """Bytes that a process holds free after its steps."""
    plain = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD" and "MALLOC" not in k} | {"GLIBC_TUNABLES": FIXED}
    run = subprocess.run([sys.executable, "-c", HELD, how], check=False, env=plain, capture_output=True, text=True)
    if run.returncode == 3:
        pytest.skip("the C library is not glibc 2.33 or newer, whose account of its memory is read")
    assert run.returncode == 0, run.stderr
    return int(run.stdout)


def test_kept_memory_is_not_taken_again():
    assert held("keep") > STEP > 2 * held("as it is")


def test_whatever_samples_on_a_cpu_keeps_it(model, tokenizer, monkeypatch):
    """A trainer too, which makes an engine of its policy at each step."""
    kept = []
    monkeypatch.setattr(memory, "keep_freed", lambda: kept.append(True))
    TransformersEngine(model, tokenizer)
    assert kept == [True]
