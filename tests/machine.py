"""What tests need of the machine that they run on: tools that it may lack, and a measure of time that depends neither
on its speed nor on who else wants it.

A test whose need is not met is skipped. The reason says what is missing and how to get it, and a run ends with a list
of them (parallel.py).
"""

import ctypes
import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import pytest


def _without_sandbox() -> str:
    """Why no program can be run in the sandbox here; empty where it can. Asked of the tools themselves, not of the
    package: a fault of the package is a failed test, never a skipped one."""
    install = "apt-get install bubblewrap libseccomp2, or see docs/sandbox.md"
    if not (bwrap := shutil.which("bwrap")):
        return f"bubblewrap is not installed: {install}"
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return f"libseccomp is not installed: {install}"
    command = [bwrap, "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "true"]
    if (done := subprocess.run(command, check=False, capture_output=True, text=True)).returncode:
        return (
            f"bubblewrap cannot make namespaces here ({done.stderr.strip()}): allow user namespaces (docs/sandbox.md)"
        )
    return ""


WITHOUT_SANDBOX = _without_sandbox()
needs_sandbox = pytest.mark.skipif(bool(WITHOUT_SANDBOX), reason=WITHOUT_SANDBOX)


def not_run(reasons: Iterable[str], marks: Iterable[str], declared: Iterable[str]) -> list[str]:
    """Lines that say what a run of pytest did without, and how to get it: reasons of skipped tests, and marks of tests
    that pyproject.toml leaves out, with what their declaration there ("mark: what it is") says of them."""
    about = dict(line.split(": ", 1) for line in declared if ": " in line)
    counts = Counter(reason.removeprefix("Skipped: ") for reason in reasons)
    counts.update(f"{mark}: {about[mark]}" for mark in marks if mark in about)
    return [f"{n:4}  {line}" for line, n in sorted(counts.items())]


def needs_inspect() -> None:
    """Skip where inspect-ai is missing."""
    pytest.importorskip("inspect_ai", reason="inspect-ai is not installed: pip install -e '.[inspect]'")


@cache
def has_hard_links(folder: Path) -> bool:
    """Whether a file in `folder` can have a second name."""
    file, name = folder / ".probe", folder / ".probe.link"
    file.touch()
    try:
        os.link(file, name)
    except OSError:
        return False
    finally:
        file.unlink()
        name.unlink(missing_ok=True)
    return True


def _work() -> None:
    found: dict[int, int] = {}
    for n in range(400_000):
        found[n % 1000] = found.get(n % 1000, 0) + len(str(n))


def _seconds(function: Callable[[], object]) -> float:
    start = time.process_time()  # other processes do not count
    function()
    return time.process_time() - start


def unit() -> float:
    """CPU seconds that this machine takes for a fixed piece of work, .06 to .07 on the one that bounds were set on."""
    return _seconds(_work)


def cost(function: Callable[[], object]) -> float:
    """CPU time of function() in units, the slower of one before and one after: a slow machine is slow at both."""
    before = unit()
    seconds = _seconds(function)
    return seconds / max(before, unit())
