"""The seccomp filter that a program runs under: which system calls are left to it, as BPF for the kernel.

An allow-list, so that a call nobody thought of, or one that a newer kernel adds, is refused. A refused call returns
EPERM. There is nothing here that makes a process or a thread, runs a file, sends a signal, opens a socket, mounts,
traces, or changes anybody's limits: a program that solves a problem needs none of it. libseccomp, which knows each
architecture's numbers, writes the filter; it is called through ctypes because its Python packages are not kept up.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os

from confessions.runtime.errors import InputError

LIBRARY = "libseccomp.so.2"
FIX = "install libseccomp 2 (Debian, Ubuntu: apt-get install libseccomp2)"

ALLOWED = """
    read pread64 readv preadv write pwrite64 writev pwritev lseek close close_range dup dup2 dup3
    open openat stat fstat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat getdents64 fadvise64
    getcwd chdir fchdir mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 truncate ftruncate umask
    mmap munmap mremap mprotect madvise brk
    rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack restart_syscall exit exit_group
    getpid gettid getppid getuid geteuid getgid getegid getgroups getrlimit getrusage uname sysinfo sched_getaffinity
    clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times getrandom
    futex sched_yield poll ppoll select pselect6
"""
# fcntl can point a file's signals at any process; what is left copies descriptors and reads or sets their flags.
FCNTL = (fcntl.F_DUPFD, fcntl.F_DUPFD_CLOEXEC, fcntl.F_GETFD, fcntl.F_SETFD, fcntl.F_GETFL)

_ALLOW, _EQUAL = 0x7FFF0000, 4  # SCMP_ACT_ALLOW, SCMP_CMP_EQ
_REFUSE = 0x00050000 | errno.EPERM  # SCMP_ACT_ERRNO(EPERM)


class _Comparison(ctypes.Structure):
    """libseccomp's struct scmp_arg_cmp."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


def bpf() -> bytes:
    """The filter for this machine's architecture; calls of any other architecture kill the process.

    Raises InputError where libseccomp is missing. A name that this architecture lacks (`open` on ARM) is left out.
    """
    try:
        library = ctypes.CDLL(LIBRARY, use_errno=True)
    except OSError:
        raise InputError(f"the sandbox needs {LIBRARY}, which is not here: {FIX}") from None
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_release.argtypes = [ctypes.c_void_p]
    library.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
    library.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Comparison),
    ]
    context = library.seccomp_init(_REFUSE)
    if not context:
        raise MemoryError("seccomp_init")

    def allow(name: str, *comparisons: _Comparison) -> None:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:
            array = (_Comparison * len(comparisons))(*comparisons)
            _checked(name, library.seccomp_rule_add_array(context, _ALLOW, number, len(comparisons), array))

    try:
        for name in ALLOWED.split():
            allow(name)
        for command in FCNTL:
            allow("fcntl", _Comparison(1, _EQUAL, command, 0))
        allow("prlimit64", _Comparison(0, _EQUAL, 0, 0), _Comparison(2, _EQUAL, 0, 0))  # one's own limits, to read
        file = os.memfd_create("bpf")
        try:
            _checked("export", library.seccomp_export_bpf(context, file))
            return os.pread(file, os.fstat(file).st_size, 0)
        finally:
            os.close(file)
    finally:
        library.seccomp_release(context)


def _checked(what: str, status: int) -> None:
    if status:
        raise OSError(-status, f"libseccomp: {what}: {os.strerror(-status)}")
