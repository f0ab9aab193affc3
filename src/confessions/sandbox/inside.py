"""Runs inside the sandbox, as a file of its own: starts one process for each input of one program.

    python inside.py RUNS REPORT FILTER CPU_SECONDS ALL_CPU WALL_SECONDS MEMORY_BYTES OUTPUT_BYTES OPEN_FILES FD...

stdin is the program's source, REPORT a pipe, FILTER the BPF file, and FD... are RUNS triples of descriptors: stdin,
stdout and stderr of a run. REPORT gets a line `ready`, then a line a run: wait status, CPU seconds, wall seconds, why
it was stopped ("-", "cpu", "wall" or "files"). A run that leaves a trace in the work folder is the last one here, and
so is one that does not fit in its CPU seconds, in ALL_CPU, those of all runs together, or in WALL_SECONDS.
"""

import _signal  # what `signal` wraps in enumerations, which take 3 ms of every start to import
import atexit
import ctypes
import gc
import os
import resource
import sys
import time

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
INSTRUCTION = 8  # bytes of one BPF instruction
WORK_FILES = 1000  # of the work folder; an empty file is no byte of its size, but a kilobyte of the kernel's memory
LOOK_SECONDS = 0.02  # how often the work folder is counted


class FilterProgram(ctypes.Structure):
    """The kernel's struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def read_all(file):
    """The bytes of a file descriptor, from its beginning."""
    return os.pread(file, os.fstat(file).st_size, 0)


def cpu_seconds(process):
    """CPU time that a process has used, by its own clock (CPUCLOCK_SCHED of clock_getcpuclockid). Where the kernel has
    none, as where the process has just ended: nothing, and RLIMIT_CPU alone decides."""
    try:
        return time.clock_gettime(~process << 3 | 2)
    except OSError:
        return 0.0


def wait(process, seconds, cpu):
    """Reap the process, after killing it where it may not go on: wait status, CPU seconds, why it was stopped.

    `cpu` is checked here too: the kernel counts RLIMIT_CPU by ticks, and a program that gives up its turn before each
    tick would use several times of what it may.
    """
    end, stopped = time.monotonic() + seconds, "-"
    while True:
        found, status, usage = os.wait4(process, os.WNOHANG)
        if found:
            return status, usage.ru_utime + usage.ru_stime, stopped
        files, over = os.statvfs("."), cpu_seconds(process) > cpu
        left = end - time.monotonic()
        if over or left <= 0 or files.f_files - files.f_ffree > WORK_FILES:
            stopped = "cpu" if over else "wall" if left <= 0 else "files"
            os.kill(process, _signal.SIGKILL)
        _signal.sigtimedwait({_signal.SIGCHLD}, LOOK_SECONDS)


def traces(folder):
    """All that tells whether a folder was looked into or changed; ctime cannot be set back."""
    found = os.stat(folder)
    return found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns, found.st_mode, found.st_nlink, found.st_size


def confine(libc, bpf, limits):
    """Give up everything, for good, in the process that will run the program. Its stderr is still the first one's:
    what fails here is no verdict on the program."""
    cpu, memory, size, files = limits
    for name, value in (
        ("RLIMIT_CPU", cpu),
        ("RLIMIT_AS", memory),
        ("RLIMIT_FSIZE", size),
        ("RLIMIT_NOFILE", files),
        ("RLIMIT_NPROC", 0),
        ("RLIMIT_CORE", 0),
        ("RLIMIT_MEMLOCK", 0),
    ):
        resource.setrlimit(getattr(resource, name), (value, value))
    program = FilterProgram(len(bpf) // INSTRUCTION, bpf)
    for arguments in ((PR_SET_NO_NEW_PRIVS, 1, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program))):
        if libc.prctl(*arguments, 0, 0):
            os.write(2, b"the seccomp filter was refused\n")
            os._exit(1)


def serve():
    """Start the runs. Returns the source in the process of each run, confined, and never in the first one."""
    runs, report, bpf_file, cpu = map(int, sys.argv[1:5])
    cpu_left, wall = map(float, sys.argv[5:7])
    memory, size, n_files, *files = map(int, sys.argv[7:])
    source, bpf, libc = read_all(0), read_all(bpf_file), ctypes.CDLL(None, use_errno=True)
    _signal.pthread_sigmask(_signal.SIG_BLOCK, {_signal.SIGCHLD})
    gc.freeze()  # what is here by now need not be looked through at the end of every run
    os.write(report, b"ready\n")
    for run in range(runs):
        before, start = traces("."), time.monotonic()
        allowed = min(cpu, max(1, int(-(-cpu_left // 1))))  # the kernel counts whole seconds, rounded up here
        process = os.fork()
        if not process:
            _signal.pthread_sigmask(_signal.SIG_UNBLOCK, {_signal.SIGCHLD})
            confine(libc, bpf, (allowed, memory, size, n_files))
            for standard, file in enumerate(files[3 * run : 3 * run + 3]):
                os.dup2(file, standard)
            os.closerange(3, 1 << 20)
            return source
        status, used, stopped = wait(process, wall, allowed)
        cpu_left -= used
        ended = os.waitstatus_to_exitcode(status)
        if ended == -_signal.SIGXCPU or (stopped == "-" and ended == -_signal.SIGKILL and used > allowed - 0.5):
            stopped = "cpu"
        os.write(report, f"{status} {used:.4f} {time.monotonic() - start:.4f} {stopped}\n".encode())
        if traces(".") != before or cpu_left < 0 or stopped in ("cpu", "wall"):
            break
    os._exit(0)


def stream(file, mode, errors):
    """A standard stream, as the interpreter makes it."""
    return open(file, mode, encoding="utf-8", errors=errors, closefd=False)


def run(source):
    """Run the program as if it had been started alone: its own __main__, its own streams."""
    del sys.argv[1:]
    sys.stdin = sys.__stdin__ = stream(0, "r", "surrogateescape")
    sys.stdout = sys.__stdout__ = stream(1, "w", "surrogateescape")
    sys.stderr = sys.__stderr__ = stream(2, "w", "backslashreplace")
    main = sys.modules["__main__"] = type(sys)("__main__")
    ended = []
    atexit.register(finish, main, ended)  # the first to be registered is the last to be called
    try:
        exec(compile(source, "program.py", "exec"), main.__dict__)
    except MemoryError:  # there may be too little left for the interpreter to say so
        os.write(2, b"MemoryError\n")
        os._exit(1)
    ended.append(True)


def finish(main, ended):
    """End a program that has come to its end as the interpreter would, but without taking that apart, which would be
    half the time of a short run. What fails here is left to the interpreter after all."""
    if ended:
        main.__dict__.clear()
        gc.collect()  # finalizers, such as of files that were not closed
        for file in (sys.stdout, sys.__stdout__, sys.stderr, sys.__stderr__):
            if not file.closed:
                file.flush()
        os._exit(0)


if __name__ == "__main__":
    run(serve())
