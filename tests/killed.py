"""Commands that are killed with SIGKILL, at a file operation or at a moment, and started again until they end.

Every life is a process of its own, or several of one group as processes.launch starts them. It is forked from a copy
of the process of the tests as it was before the first one: all is imported there, and nothing has happened yet.
"""

import gc
import multiprocessing
import os
import signal
import socket
import stat
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from ctypes import c_int
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from pkgutil import resolve_name
from unittest import mock

import torch
from tqdm.std import tqdm

from confessions.cli import app
from confessions.runtime import provenance

CONTEXT = multiprocessing.get_context("forkserver")
WATCHED = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link")


def start_server() -> None:
    """Fork what CONTEXT forks from, where multiprocessing would start a new interpreter. parallel.py calls this."""
    for module in ("train", "rollout", "score"):
        resolve_name(f"confessions.pipeline.stages.{module}")
    resource_tracker.ensure_running()  # an interpreter of its own
    with mock.patch("multiprocessing.util.spawnv_passfds", _forked):
        forkserver.ensure_running()


def _forked(_: bytes, words: Sequence[str], files: Sequence[int]) -> int:
    """`python -c COMMAND`, of which COMMAND is the last of the words, in a copy of this process; its id."""
    if process := os.fork():
        return process
    try:
        for file in set(map(int, os.listdir("/dev/fd"))) - {0, 1, 2, *files}:
            with suppress(OSError):  # the listing's own
                if stat.S_ISFIFO(os.fstat(file).st_mode) or stat.S_ISSOCK(os.fstat(file).st_mode):
                    os.close(file)  # whoever is at its other end learns from us no more
        gc.freeze()  # none of what is here is looked through, and so copied, again
        exec(words[-1], {})
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(0)


@dataclass(frozen=True)
class Kill:
    """Before the `nth` file operation of kind `event` (any of WATCHED without it) on a path with this ending, below the
    folder that the command runs in; or after so many seconds."""

    nth: int = 1
    event: str = ""
    ending: str = ""
    seconds: float | None = None


def _live(
    words: list[str],
    folder: Path,
    log: Path,
    change: Callable[[], None],
    kill: Kill | None,
    count: c_int,
    environment: dict[str, str],
) -> None:
    """One process of a life: the command in `folder`. Its output, and the file operations counted, are the parent's to
    read."""
    os.environ.update(environment)
    os.chdir(folder)
    met = 0
    root = str(folder.resolve())  # what libraries read and write elsewhere does not count

    def watch(event: str, arguments: tuple) -> None:
        if event not in WATCHED:
            return
        path = arguments[1] if event == "os.rename" else arguments[0]
        if not isinstance(path, (str, os.PathLike)) or not (path := os.path.abspath(path)).startswith(root):
            return
        if kill is None:
            count.value += 1
        elif kill.seconds is None and event.startswith(kill.event) and path.endswith(kill.ending):
            nonlocal met
            met += 1
            if met == kill.nth:
                os.kill(os.getpid(), signal.SIGKILL)

    with log.open("a") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())  # its own one is shared by processes, and a killed one would leave it behind
    change()
    sys.addaudithook(watch)
    app(words, standalone_mode=False)


def nothing() -> None:
    """The package as it is."""


def ranks(n: int) -> list[dict[str, str]]:
    """The environments of n processes that compute together, as torchrun sets them; one by itself needs none."""
    if n == 1:
        return [{}]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(n), "LOCAL_WORLD_SIZE": str(n), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [shared | {"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"} for rank in range(n)]


def live(
    words: Iterable[str],
    folder: Path,
    change: Callable[[], None] = nothing,
    kill: Kill | None = None,
    n_processes: int = 1,
) -> tuple[bool, int]:
    """Whether the command came to its end, and the file operations counted (all of them when nothing kills it).

    `change` is called in each process before the command. Of several processes the first is killed, and the others with
    it. Raises AssertionError, with what was printed, when the command fails by itself.
    """
    folder.mkdir(exist_ok=True)
    log, count = folder.parent / f"{folder.name}.log", CONTEXT.Value("i", 0, lock=False)
    never = Kill(nth=-1)
    first, *others = [
        CONTEXT.Process(
            target=_live, args=([*words], folder, log, change, never if number else kill, count, environment)
        )
        for number, environment in enumerate(ranks(n_processes))
    ]
    for process in (first, *others):
        process.start()
    first.join(kill.seconds if kill else None)
    killed = first.is_alive() or first.exitcode == -signal.SIGKILL
    for process in (first, *others):
        if killed:
            process.kill()
        process.join()
    assert killed or not any(process.exitcode for process in (first, *others)), log.read_text()
    return not killed, count.value


def until_the_end(
    words: Iterable[str], folder: Path, kills: Iterator[Kill], change: Callable[[], None] = nothing
) -> int:
    """Start the command again and again, the next of `kills` in each life, until it comes to its end; the number of
    lives that were killed. When there are no kills left, it is let live."""
    words, killed = [*words], 0
    while not live(words, folder, change, next(kills, None))[0]:
        killed += 1
    return killed


def differences(one: Path, other: Path) -> list[str]:
    """Files below the folders that are not in both, byte for byte. Provenance records are left out: they tell the runs
    apart (the revision, hashes of files that hold times)."""

    def files(root: Path) -> set[Path]:
        names = {path.relative_to(root) for path in root.rglob("*") if path.is_file()}
        return {name for name in names if provenance.FOLDER not in name.parts}

    first, second = files(one), files(other)
    unlike = {name for name in first & second if (one / name).read_bytes() != (other / name).read_bytes()}
    return sorted(map(str, (first ^ second) | unlike))
