"""What the interpreter needs to start, and so all that a program can see of the machine's files."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

from confessions.runtime.errors import InputError

# Extension modules for terminals, windows and the network: no use in the sandbox, and many libraries less in it.
LEFT_OUT = re.compile(r"(_tkinter|readline|_curses|_curses_panel|nis|_dbm|_gdbm|_ssl|_sqlite3|_uuid|_crypt)\.")
HIDDEN = ("site-packages", "dist-packages", "ensurepip", "test")  # folders of the standard library's folder


@functools.cache
def interpreter() -> str:
    """The interpreter itself, not the virtual environment's link to it."""
    return str(Path(getattr(sys, "_base_executable", sys.executable)).resolve())


@functools.cache
def binds() -> tuple[str, ...]:
    """bwrap's arguments for a root with the interpreter, its standard library and the shared libraries of both.

    Everything stands where the machine has it (interpreters have such paths built in) and is read-only; of the
    folders on the way there is nothing but the name. Packages installed beside the library are covered up.
    """
    library = Path(sysconfig.get_path("stdlib")).resolve()
    extensions = [str(file) for file in library.glob("lib-dynload/*.so") if not LEFT_OUT.match(file.name)]
    try:
        listed = subprocess.run(["ldd", interpreter(), *extensions], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise InputError(f"the sandbox needs ldd to see what {interpreter()} loads, and it fails: {error}") from None
    needed = {os.path.normpath(path) for path in re.findall(r"(/\S+) \(0x", listed)}
    needed |= {path for path in ("/etc/ld.so.cache",) if os.path.exists(path)}  # where the loader looks libraries up
    arguments = ["--ro-bind", interpreter(), interpreter(), "--ro-bind", str(library), str(library)]
    for folder in HIDDEN:
        if (library / folder).is_dir():
            arguments += ["--perms", "0555", "--size", "4096", "--tmpfs", str(library / folder)]
            arguments += ["--remount-ro", str(library / folder)]
    for path in sorted(needed):
        arguments += ["--ro-bind", str(Path(path).resolve()), path]
    return tuple(arguments)
