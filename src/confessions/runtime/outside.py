"""What a user brings along, named in the configuration by its path: a task, a reward, a judge, a condition and so on.

A name with a slash is a path, from the folder in which the command runs (`./mine/task`); any other name is one of the
package's own. Python files are imported as modules of a package that stands for their folder, so that they can import
their neighbours (`from . import words`). Their text is part of what names a result: see `digest`.
"""

import hashlib
import sys
import traceback
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from confessions.runtime.errors import InputError, first_line


def is_path(name: str) -> bool:
    """Whether a name of the configuration is a path, and not a name of the package."""
    return "/" in name


def short(name: str) -> str:
    """A name without its folder and ending, as it stands in names of files."""
    return Path(name).stem if is_path(name) else name


def module(file: str | Path) -> ModuleType:
    """The module that a Python file holds. Raises InputError, of one line, where it is not there or does not import."""
    path = Path(file).resolve()
    if not path.is_file():
        raise InputError(f"{file}: no such file; its path is read from {Path.cwd()}")
    if not path.stem.isidentifier() or path.suffix != ".py":
        raise InputError(f"{file}: no name of a Python module: letters, digits and _, and then .py")
    package = "outside_" + hashlib.sha256(str(path.parent).encode()).hexdigest()[:12]
    if package not in sys.modules:
        sys.modules[package] = ModuleType(package)
        sys.modules[package].__path__ = [str(path.parent)]
    try:
        return import_module(f"{package}.{path.stem}")
    except InputError:
        raise
    except Exception as error:  # whatever its code raises
        raise InputError(f"{file}: {_where(error, path.parent)}{type(error).__name__}: {first_line(error)}") from None


def member(file: str | Path, name: str) -> Any:
    """What a Python file calls `name`. Raises InputError where it has nothing of that name."""
    found = module(file)
    if not hasattr(found, name):
        raise InputError(f"{file}: has no {name}; docs/extending.md shows what it must have")
    return getattr(found, name)


def digest(path: str | Path) -> str:
    """12 hex digits of a file, or of every Python and text file of a folder: with them a changed file makes what
    depends on it stale. Raises InputError where there is nothing."""
    path = Path(path)
    files = sorted(f for f in path.rglob("*") if f.suffix in {".py", ".txt", ".json"}) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise InputError(f"{path}: no such file or folder; its path is read from {Path.cwd()}")
    found = hashlib.sha256()
    for file in files:
        found.update(f"{file.relative_to(path.parent).as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return found.hexdigest()[:12]


def _where(error: Exception, folder: Path) -> str:
    """The line of the user's file that raised, where one did."""
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).parent == folder]
    return f"line {lines[-1].lineno}: " if lines else ""
