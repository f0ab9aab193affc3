"""bubblewrap around programs: a sandbox each, several at a time, and a refusal where a machine cannot isolate."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from confessions.runtime.errors import InputError
from confessions.sandbox import root
from confessions.sandbox.base import NOT_MEASURED, Limits, Outcome, Program, Status
from confessions.sandbox.filter import bpf

INSIDE = Path(__file__).with_name("inside.py")
WORK = "/box"  # a name that no machine has on the way to its interpreter
RUNS = 16  # inputs of one start; three descriptors each
STARTING_SECONDS = 30  # what a start may take on a busy machine, beside the runs
LOOK_SECONDS = 0.05  # how often a run that takes longer is looked at
DEPTH = 3  # a run's place below the process that we start: bwrap, its first process, inside.py, the run
STDERR_BYTES = 2000
FIX = "install bubblewrap (Debian, Ubuntu: apt-get install bubblewrap)"
FIX_NAMESPACES = "allow user namespaces (sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns)"

# What the programs may not do is tried once by a program of our own before any other is run.
PROBE = """
import ctypes, os, socket
def refused(action):
    try:
        action()
    except OSError:
        return True
print(*(
    name for name, action in {
        "start processes": os.fork,
        "run files": lambda: os.execv("/bin/sh", ["sh"]),
        "open sockets": socket.socket,
        "send signals": lambda: os.kill(os.getppid(), 0),
        "write outside the work folder": lambda: os.open("/written", os.O_CREAT | os.O_WRONLY),
        "see processes": lambda: os.stat("/proc/self"),
        "see devices": lambda: os.stat("/dev/null"),
        "see this package": lambda: os.stat(%r),
    }.items() if not refused(action)), sep=", ")
if os.getuid() == 0: print("be root")
if set(os.environ) - {"PYTHONHASHSEED", "PWD"}: print("see the environment")
if os.listdir("."): print("find a used work folder")
"""


class Sandbox:
    """Runs programs in isolation. Making one raises InputError where this machine cannot isolate them.

    `workers`: how many programs run at the same time; as many as there are cores where None.
    """

    def __init__(self, limits: Limits | None = None, workers: int | None = None):
        check()
        self.limits = limits or Limits()
        self.workers = workers or len(os.sched_getaffinity(0))

    def run(self, programs: Sequence[Program]) -> list[list[Outcome]]:
        """(P, inputs of each) what every program did on each of its inputs, in their order.

        A program that waited or could not be measured beside others is run once more, alone. Raises InputError where a
        sandbox cannot be started: that is no verdict on a program.
        """
        with ThreadPoolExecutor(self.workers) as pool:
            found = list(pool.map(functools.partial(_outcomes, self.limits), programs))
        if min(self.workers, len(programs)) == 1:
            return found
        return [
            _outcomes(self.limits, program) if _doubtful(outcomes) else outcomes
            for program, outcomes in zip(programs, found, strict=True)
        ]


def _doubtful(outcomes: Sequence[Outcome]) -> bool:
    """Whether others that ran at the same time may have had a part in them."""
    return any(outcome.status in ("waited", NOT_MEASURED) for outcome in outcomes)


@functools.cache
def check() -> None:
    """Run the probe; raise InputError, one line, where anything that isolates is missing or does not work."""
    [outcome] = _outcomes(Limits(wall_seconds=60), Program(PROBE % str(INSIDE)))
    if not outcome.ok:
        last = (outcome.stderr.strip().splitlines() or [outcome.status])[-1]
        raise InputError(f"the sandbox does not work here, and no program is run without it: {last}")
    if able := ", ".join(outcome.stdout.split("\n")).strip(", "):
        raise InputError(f"the sandbox does not isolate here (a program can {able}), and none is run: {FIX}")


def _outcomes(limits: Limits, program: Program) -> list[Outcome]:
    """One outcome an input. A start ends early where a run left a trace; the next run then gets a new work folder.

    What is left when a program has used up its time, or when a run could not be measured, is not run any more.
    """
    outcomes: list[Outcome] = []
    lost = False
    while inputs := program.inputs[len(outcomes) :]:
        left = _left(limits, outcomes)
        if end := _end(left, outcomes):
            return outcomes + [_not_run(end)] * len(inputs)
        done = _start(left, program.source, inputs[:RUNS])
        outcomes += done
        if not done and lost:  # twice on the same input: it takes somebody outside to end a sandbox
            outcomes.append(_not_run(NOT_MEASURED))
        lost = not done and not lost
    return outcomes


def _left(limits: Limits, outcomes: Sequence[Outcome]) -> Limits:
    """The limits of a program for what it has not done yet."""
    cpu = limits.program_cpu_seconds - sum(outcome.cpu_seconds for outcome in outcomes)
    wait = limits.wait_seconds - sum(outcome.wait_seconds for outcome in outcomes)
    return limits.model_copy(update={"program_cpu_seconds": cpu, "wait_seconds": wait})


def _end(left: Limits, outcomes: Sequence[Outcome]) -> Status | None:
    """Why a program is not run on its other inputs, where it is not."""
    if left.program_cpu_seconds < 0 or (left.stop_at_timeout and outcomes and outcomes[-1].status == "timeout"):
        return "timeout"
    if left.wait_seconds < 0:
        return "waited"
    return NOT_MEASURED if outcomes and outcomes[-1].status == NOT_MEASURED else None


def _not_run(status: Status, wait_seconds: float = 0.0) -> Outcome:
    return Outcome(status, "", "", None, 0.0, 0.0, wait_seconds)


def _start(limits: Limits, source: str, inputs: Sequence[str]) -> list[Outcome]:
    """Start one sandbox; the outcomes of the first of `inputs`, in order: all, or fewer where it ended before."""
    command = _command(limits.work_bytes)
    with contextlib.ExitStack() as stack:
        files = []
        for text in inputs:
            files += [_file(stack, text.encode("utf-8", "surrogateescape"), sealed=True), _file(stack), _file(stack)]
        code = _file(stack, source.encode("utf-8", "surrogatepass"))
        rules, errors = _file(stack, _bpf()), _file(stack)
        reading, writing = os.pipe()
        stack.callback(os.close, reading)
        # One byte more than is allowed, so that a full file tells that there was more.
        seconds = limits.cpu_seconds, limits.program_cpu_seconds, limits.wall_seconds
        numbers = *seconds, limits.memory_bytes, limits.output_bytes + 1
        arguments = [len(inputs), writing, rules, *numbers, limits.open_files, *files]
        try:
            process = subprocess.Popen(
                [*command, *map(str, arguments)],
                stdin=code,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env={"PYTHONHASHSEED": "0"},  # the same program does the same every time
                pass_fds=[writing, rules, *files],
            )
        finally:
            os.close(writing)
        try:
            longest = STARTING_SECONDS + len(inputs) * (limits.wall_seconds + 1)
            lines, waited, broken_off = _watch(process.pid, reading, longest, limits.wait_seconds)
        finally:
            process.kill()  # the first process of the namespace dies with it, and all others with that
            process.wait()
        # No run can write here: what bwrap or inside.py say is about this machine, and no verdict on a program.
        said = os.pread(errors, STDERR_BYTES, 0).decode(errors="replace").strip().splitlines()
        if said or not (lines or broken_off):
            last = said[-1] if said else "no reason given"
            fix = FIX_NAMESPACES if "namespace" in last else FIX
            raise InputError(f"the sandbox does not start, and no program is run without it ({last}): {fix}")
        runs = zip(lines[1:], files[1::3], files[2::3], strict=False)
        outcomes, cpu_left = [], limits.program_cpu_seconds
        for number, (line, *streams) in enumerate(runs, 1):
            outcomes.append(_outcome(limits, line, cpu_left, waited[number], *streams))
            cpu_left -= outcomes[-1].cpu_seconds
        if broken_off and len(outcomes) < len(inputs):
            outcomes.append(_not_run(broken_off, waited[len(lines)]))
        return outcomes


def _outcome(limits: Limits, line: str, cpu_left: float, waited: float, stdout: int, stderr: int) -> Outcome:
    """What a line of the report and the two files that a run wrote say."""
    wait_status, cpu, wall, stopped = line.split()
    code = os.waitstatus_to_exitcode(int(wait_status))
    size, error_size = os.fstat(stdout).st_size, os.fstat(stderr).st_size
    end = os.pread(stderr, STDERR_BYTES, max(0, error_size - STDERR_BYTES)).decode(errors="replace")
    status: Status = "ok"
    if stopped == "files" or max(size, error_size) > limits.output_bytes:
        status = "output"
    elif stopped == "cpu" or float(cpu) > cpu_left:
        status = "timeout"
    elif stopped == "wall" or code == -signal.SIGKILL:  # a program cannot send signals: the kernel was short of memory
        status = NOT_MEASURED
    elif code < 0:
        status = "killed"
    elif code:
        status = "memory" if end.strip().rpartition("\n")[2].startswith("MemoryError") else "error"
    text = os.pread(stdout, limits.output_bytes, 0).decode(errors="replace")
    return Outcome(status, text, end, code if code >= 0 else None, float(cpu), float(wall), waited)


def _file(stack: contextlib.ExitStack, content: bytes = b"", sealed: bool = False) -> int:
    """A file in memory, without a name, at its beginning; `sealed` against every change."""
    file = os.memfd_create("sandbox", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    stack.callback(os.close, file)
    view = memoryview(content)
    written = 0
    while written < len(view):
        written += os.pwrite(file, view[written:], written)
    if sealed:
        fcntl.fcntl(
            file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
        )
    return file


def _watch(
    sandbox: int, pipe: int, seconds: float, wait_seconds: float
) -> tuple[list[str], Counter[int], Status | None]:
    """The lines that are written into a pipe until all its writers are gone; how long each run waited, by the number of
    lines in front of its own; and why reading was broken off, where it was: the program waited for longer than
    `wait_seconds`, or `seconds` have passed.

    `sandbox` is the number of bwrap's process. A run waits where it is found asleep. One that wants to run and gets no
    turn, or waits for memory or a disk, is in another of the kernel's states: so this does not depend on the load.
    """
    end, text, waited, poll = time.monotonic() + seconds, b"", Counter(), select.poll()
    poll.register(pipe, select.POLLIN)
    broken_off: Status | None = None
    while not broken_off:
        if poll.poll(LOOK_SECONDS * 1000):
            part = os.read(pipe, 1 << 16)
            if not part:
                break
            text += part
        elif time.monotonic() > end:
            broken_off = NOT_MEASURED
        elif text and _asleep(sandbox):  # it has started
            waited[text.count(b"\n")] += LOOK_SECONDS
            broken_off = "waited" if waited.total() > wait_seconds else None
    return text.decode().splitlines(), waited, broken_off


def _asleep(sandbox: int) -> bool:
    """Whether a run goes on in the sandbox, and is in interruptible sleep: it asked for that itself."""
    processes = [sandbox]
    try:
        for _ in range(DEPTH):
            files = [Path(f"/proc/{process}/task/{process}/children") for process in processes]
            processes = [int(child) for file in files for child in file.read_text().split()]
        return any(Path(f"/proc/{run}/stat").read_text().rpartition(")")[2].split()[0] == "S" for run in processes)
    except OSError:  # ended meanwhile; or the kernel does not list children, and the wall clock has to do
        return False


@functools.cache
def _bpf() -> bytes:
    return bpf()


@functools.cache
def _command(work_bytes: int) -> tuple[str, ...]:
    """bwrap and its options, up to the arguments of inside.py."""
    bwrap = shutil.which("bwrap")
    if sys.platform != "linux" or not bwrap:
        raise InputError(f"programs of a model are run under bubblewrap on Linux only, and bwrap is not here: {FIX}")
    return (
        bwrap,
        *("--unshare-all", "--unshare-user", "--uid", "65534", "--gid", "65534", "--hostname", "sandbox"),
        *("--die-with-parent", "--new-session", "--cap-drop", "ALL"),
        *root.binds(),
        *("--size", str(work_bytes), "--tmpfs", WORK, "--chdir", WORK, "--remount-ro", "/"),
        *(root.interpreter(), "-s", "-P", "-S", "-B", "-X", "utf8", "-c", INSIDE.read_text(encoding="utf-8")),
    )
