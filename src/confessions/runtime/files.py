"""Files that stages hand to each other: published whole or not at all, a clear word when damaged or without room."""

from __future__ import annotations

import errno
import json
import os
import re
import reprlib
import shutil
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from confessions.runtime.errors import InputError, first_line

if TYPE_CHECKING:
    import pandas as pd

FIX = "delete it and run snakemake again"
ASIDE = "move it away and run again"
BLOCK, SPREAD = 2**20, 64


@contextmanager
def published(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name beside `path` to write to; it takes `path`'s place only when the block succeeds.

    The name keeps the suffix (writers choose the format by it) and the folder (a rename is atomic only within
    one file system). The content is on the disk before it gets its name, so that not even a power cut leaves half
    of it there. Raises InputError when the disk is full, where a folder has that name already, and where a file has the
    name of a folder that it lies in.
    """
    with _published(Path(path), is_folder=False) as temporary:
        yield temporary


@contextmanager
def published_folder(path: str | Path) -> Iterator[Path]:
    """As `published`, for a folder, which the block makes itself; a folder of that name is replaced."""
    with _published(Path(path), is_folder=True) as temporary:
        yield temporary


@contextmanager
def _published(path: Path, is_folder: bool) -> Iterator[Path]:
    made, there = ("folder", "file") if is_folder else ("file", "folder")
    if path.is_file() if is_folder else path.is_dir():
        raise InputError(f"{path}: a {there}, and a {made} is to be written here; {ASIDE}")
    if files := [above for above in path.parents if above.is_file()]:
        raise InputError(f"{files[0]}: a file, and {path} is to be written in a folder of this name; {ASIDE}")
    temporary = _aside(path, *((path.name, "") if is_folder else (path.stem, path.suffix)))
    try:
        with room_for(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            sync(temporary)
            if is_folder:
                remove(path)
            temporary.replace(path)
    finally:
        remove(temporary)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it, where there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def blocks(path: str | Path) -> Iterator[bytes]:
    """All bytes of a file, 1 MiB at a time."""
    with Path(path).open("rb") as stream:
        yield from iter(lambda: stream.read(BLOCK), b"")


def spread_blocks(path: str | Path) -> Iterator[bytes]:
    """At most 64 blocks of 1 MiB of a file, evenly spread; a file of up to 64 MiB whole."""
    size = Path(path).stat().st_size
    with Path(path).open("rb") as stream:
        for start in range(0, size, max(BLOCK, size // SPREAD)):
            stream.seek(start)
            yield stream.read(BLOCK)


def _aside(path: Path, name: str, suffix: str = "") -> Path:
    """A name of this process's own to write to. What killed processes left under theirs is removed."""
    theirs = re.compile(rf"\.{re.escape(name)}\.\d+{re.escape(suffix)}")
    for left in path.parent.iterdir() if path.parent.is_dir() else ():
        if theirs.fullmatch(left.name):
            remove(left)
    return path.with_name(f".{name}.{os.getpid()}{suffix}")


def sync(path: Path) -> None:
    """Have a file, or a folder with all that is in it, written to the disk."""
    for part in [*(path.rglob("*") if path.is_dir() else ()), path]:
        descriptor = os.open(part, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def room_for(path: str | Path) -> Iterator[None]:
    """Raise InputError when the block fails because there is no room left to write `path`; other errors pass."""
    path = Path(path)
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if not _says_full(error) and not (isinstance(error, RuntimeError) and _is_full(path.parent)):
            raise
        raise InputError(
            f"{path}: the disk is full, or your quota is used up: make room there and run snakemake again; what was "
            "finished before is kept"
        ) from error


NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def _says_full(error: Exception) -> bool:
    """OSError has a number; safetensors has only the text."""
    return getattr(error, "errno", None) in NO_ROOM or any(os.strerror(number) in str(error) for number in NO_ROOM)


def _is_full(folder: Path) -> bool:
    """torch.save says nothing of why it failed, so try: what it has written so far is still there."""
    probe = folder / f".probe.{os.getpid()}"
    try:
        probe.write_bytes(bytes(2**16))
    except OSError as error:
        return error.errno in NO_ROOM
    finally:
        probe.unlink(missing_ok=True)
    return False


def write_parquet(frame: pd.DataFrame, path: str | Path) -> None:
    """Publish a Parquet file whose pages have checksums: without them, other bytes in a text are read as they are."""
    with published(path) as temporary:
        frame.to_parquet(temporary, index=False, write_page_checksum=True)


def read_parquet(
    path: str | Path, columns: tuple[str, ...] = (), texts: tuple[str, ...] = (), objects: tuple[str, ...] = ()
) -> pd.DataFrame:
    """Read a Parquet file.

    InputError where it is missing, cut short or damaged, where one of `columns` is not there, and, with the row, where
    one of `texts` holds no text or one of `objects` no JSON object.
    """
    import pandas as pd

    try:
        frame = pd.read_parquet(path, page_checksum_verification=True)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run snakemake to make it") from None
    except Exception as error:  # damaged metadata end in any of them: KeyError, TypeError, UnicodeDecodeError, ...
        raise InputError(f"{path}: not a whole Parquet file ({first_line(error)}); {FIX}") from None
    frame = _with_columns(frame, path, (*columns, *texts, *objects))
    for column in (*texts, *objects):
        if odd := [row for row, value in enumerate(frame[column], start=1) if not isinstance(value, str)]:
            raise _odd(path, odd[0], column, frame[column].iat[odd[0] - 1], "no text")
    for column in objects:
        for text, row in {text: row for row, text in reversed([*enumerate(frame[column], start=1)])}.items():
            parse_json(text, f"{path}: row {row}: {column}")
    return frame


def read_csv(
    path: str | Path, columns: tuple[str, ...] = (), numbers: Collection[str] = (), comment: str | None = None
) -> pd.DataFrame:
    """Read a CSV table: those of its columns that are among `numbers` as numbers, the others as text; what is empty is
    missing.

    A CSV has no end mark: what shows a cut is a last line without its newline or a row with fewer fields. InputError
    where it is missing or cut short, where one of `columns` is not there, and, with the row, where a number is none.
    """
    import numpy as np
    import pandas as pd

    try:
        text = Path(path).read_text(encoding="utf-8")
        rows = [line for line in text.splitlines() if line and not (comment and line.startswith(comment))]
        if not text.endswith("\n") or len(rows) < 2:
            raise ValueError("it ends in the middle")
        # A model may be called NA or 7.
        with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):  # a row has too many fields
            frame = pd.read_csv(
                path, comment=comment, dtype=str, keep_default_na=False, na_values=[""], index_col=False
            )
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run snakemake to make it") from None
    except (ValueError, OSError, pd.errors.ParserWarning) as error:
        raise InputError(f"{path}: not a whole CSV file ({first_line(error)}); {FIX}") from None
    frame = _with_columns(frame, path, columns)
    for column in [name for name in frame.columns if name in numbers]:
        given, frame[column] = frame[column], pd.to_numeric(frame[column], errors="coerce")
        none = given.notna() & ~np.isfinite(frame[column])
        if none.any():
            row = int(none.to_numpy().argmax())
            raise _odd(path, row + 1, column, given.iat[row], "no number")
    return frame


def _odd(path: str | Path, row: int, column: str, value: object, what: str) -> InputError:
    return InputError(f"{path}: row {row}: {column} is {reprlib.repr(value)}, {what}; {FIX}")


def parse_json(text: str, where: str, fix: str = FIX) -> dict[str, Any]:
    """The object that a JSON text holds.

    InputError, which begins with `where`, for a text that is no JSON object, is nested too deeply, has an integer too
    long for python, or holds half a surrogate pair, which nothing could write or encode later.
    """
    try:
        found = json.loads(text)
        what = half_pair(found)
    except RecursionError:
        what = "nested too deeply"
    except json.JSONDecodeError as error:
        what = f"not JSON ({error})"
    except ValueError as error:
        what = first_line(error)
    else:
        if isinstance(found, dict) and not what:
            return found
    raise InputError(f"{where}: {what or 'not a JSON object'}; {fix}")


def half_pair(value: Any) -> str | None:
    """Names half a surrogate pair in a text of a JSON value, where there is one: nothing could encode or write it."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        return f"half a surrogate pair, {error.object[error.start]!a}"
    return None


def read_jsonl(path: str | Path) -> list[dict]:
    """Read one JSON object a line; raise InputError where the file is missing, empty or cut short."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run snakemake to make it") from None
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: unreadable ({first_line(error)}); {FIX}") from None
    records = [
        parse_json(line, f"{path}: line {number} is not a JSON object") for number, line in enumerate(lines, start=1)
    ]
    if not records:
        raise InputError(f"{path}: empty; {FIX}")
    return records


def _with_columns(frame: pd.DataFrame, path: str | Path, columns: tuple[str, ...]) -> pd.DataFrame:
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise InputError(f"{path}: column {missing[0]!r} is missing; {FIX}")
    return frame
