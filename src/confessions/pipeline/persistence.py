"""Snakemake's bookkeeping of a working directory: which files are locked, and which are not whole.

To Snakemake a lock is a file that names others, whoever wrote it: a process that was killed leaves its own behind, and
the next is told to --unlock. Here a process keeps its lock files open under the operating system's lock (flock), which
ends with it however that ends, and writes its host into them. One of this host that nobody holds is a dead process's
and locks nothing. One of another host stays, for not every network file system tells what is held elsewhere; so does
one without a host, of another Snakemake or on a file system without such locks.

An output that is there and shorter than its provenance record says is incomplete, as one whose job was killed; so is
what an unreadable record was about. With `rerun-incomplete`, of the default profile, Snakemake makes it again.
"""

import fcntl
import shutil
import socket
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, TextIO

import snakemake.api  # first: snakemake.workflow cannot be imported by itself
from snakemake.logging import logger
from snakemake.persistence.file import FilePersistence

from confessions.runtime import provenance

RESULTS = Path("results")
HOST = "# held on "


class Bookkeeping(FilePersistence):
    """Snakemake's own, in .snakemake, with the locks and the incomplete files of this module. Builds on internals of
    Snakemake: tests hold it to what they do."""

    def __init__(self, *args: Any, **settings: Any):
        self._held: list[TextIO] = []
        self._said: set[str] = set()
        super().__init__(*args, **settings)

    @cached_property
    def _damaged(self) -> dict[str, str]:
        return provenance.to_make_again(RESULTS) if RESULTS.is_dir() else {}

    def _filter_incomplete_keys(self, keys: Iterable[str]) -> set[str]:
        names = set(keys)
        damaged = names & self._damaged.keys() if self.dag.workflow.is_main_process else set()
        for what in sorted({self._damaged[name] for name in damaged} - self._said):
            logger.warning(f"made again: {what}")
            self._said.add(what)
        return super()._filter_incomplete_keys(names) | damaged

    def _read_locks(self) -> Iterator[tuple[str, str]]:
        for path in self._lock_files():
            if not _is_stale(path):
                kind = path.name.split(".")[1]
                yield from ((kind, name) for name in _lines(path) if not name.startswith(HOST))

    def _write_locks(self, lock_type: str, keys: Iterable[str]) -> None:
        if not (names := list(keys)):
            return
        for number in count():
            try:
                file = (Path(self._lockdir) / f"{number}.{lock_type}.lock").open("x", encoding="utf-8")
            except FileExistsError:
                continue
            break
        self._held.append(file)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            names.insert(0, _here())
        except OSError:  # no such locks on this file system: as Snakemake has it
            pass
        print(*names, sep="\n", file=file, flush=True)

    def _delete_locks(self) -> None:
        """Remove our own, and those of the dead; Snakemake would remove those of the living, too."""
        for file in self._held:
            Path(file.name).unlink(missing_ok=True)
            file.close()
        self._held.clear()
        for path in self._lock_files():
            if _is_stale(path):
                path.unlink(missing_ok=True)

    def cleanup_locks(self) -> None:
        """--unlock: remove all of them."""
        shutil.rmtree(self._lockdir, ignore_errors=True)

    def _lock_files(self) -> list[Path]:
        return sorted(Path(self._lockdir).glob("*.*put.lock"))


def install() -> None:
    """Have this process's Snakemake keep its books so. To be called in a Snakefile."""
    snakemake.workflow.FilePersistence = Bookkeeping


def _here() -> str:
    return HOST + socket.gethostname()


def _lines(path: Path) -> list[str]:
    """Of a lock that may be removed at any time."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []


def _is_stale(path: Path) -> bool:
    """Whether the process that wrote a lock is dead: it was on this host, and holds it no longer."""
    if _here() not in _lines(path)[:1]:
        return False
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared, lest two that look at once see each other
    except OSError:  # held; or gone meanwhile
        return False
    return True
