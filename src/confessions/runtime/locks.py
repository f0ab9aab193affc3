"""One process at a time in a working folder, on one machine or on several that share it."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from confessions.runtime.errors import Say
from confessions.runtime.processes import is_first

POLL_SECONDS = 2.0


@contextmanager
def alone(folder: Path, say: Say) -> Iterator[None]:
    """Run the block when no other process is in `folder`; wait, and say for whom, while one is.

    A Snakemake that was killed leaves its cluster jobs running, and the next one submits them again. The lock ends with
    the process that holds it, however that ends. Of several processes of one job (RANK) only the first asks for it.
    """
    if not is_first():
        yield
        return
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    lock, holder = FileLock(folder / ".lock"), folder / ".holder"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"{folder}: {_read(holder)} is at work here; waiting until it ends")
        while not lock.is_locked:
            with suppress(FileNotFoundError):  # the other one has ended and left no trace
                lock.acquire(poll_interval=POLL_SECONDS)
    try:
        holder.write_text(_myself())
        yield
    finally:
        # A folder in which nothing is left leaves no trace. Its lock is removed while it is held: one who waits for it
        # then sees that it is gone, and makes it anew.
        if {path.name for path in folder.iterdir()} <= {".lock", holder.name}:
            for path in (holder, folder / ".lock"):
                path.unlink(missing_ok=True)
            if made:
                with suppress(OSError):  # another one has come in
                    folder.rmdir()
        lock.release()


def _myself() -> str:
    job, place = os.environ.get("SLURM_JOB_ID"), f"{socket.gethostname()}, process {os.getpid()}"
    return f"Slurm job {job} ({place}; scancel {job} ends it)" if job else place


def _read(holder: Path) -> str:
    return (holder.read_text() if holder.exists() else "") or "another process"
