"""What goes into the sandbox and what comes out: programs, limits, outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Status = Literal[
    "ok",  # the program ended by itself with exit code 0
    "error",  # it ended with another exit code: an uncaught exception, sys.exit(1), a syntax error
    "timeout",  # it used up its CPU time, that of this run or that of all runs of the program
    "waited",  # it slept rather than compute, for longer than a program may in all its runs
    "memory",  # it died of a MemoryError
    "output",  # it wrote more than output_bytes to stdout or stderr, or made more than a thousand files
    "killed",  # a signal ended it, such as a stack overflow
    "not measured",  # this machine was too busy, or short of memory: no verdict on the program
]
NOT_MEASURED: Status = "not measured"


class Limits(BaseModel):
    """What a program may use, in one run on one input and in all its runs. What decides is CPU time, and time that it
    chose to sleep: both are the program's own affair, where wall clock depends on who else wants the machine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cpu_seconds: int = Field(2, ge=1, le=600, description="CPU time; whole seconds, as the kernel counts them")
    program_cpu_seconds: float = Field(10, gt=0, le=3600, description="CPU time of all runs of a program together")
    stop_at_timeout: bool = Field(False, description="a program that timed out on an input is run on no other one")
    wait_seconds: float = Field(2, gt=0, le=600, description="time that all runs of a program together may sleep")
    wall_seconds: float = Field(
        20, gt=0, le=3600, description="wall clock of a run, a safety net: what it stops is not measured"
    )
    memory_bytes: int = Field(256 << 20, ge=64 << 20, description="address space, the interpreter's own included")
    output_bytes: int = Field(1 << 18, ge=1, le=1 << 28, description="of stdout, of stderr and of each file, apiece")
    work_bytes: int = Field(4 << 20, ge=1 << 16, le=1 << 30, description="size of the work folder")
    open_files: int = Field(16, ge=8, le=1024, description="open files, the three standard streams included")


@dataclass(frozen=True)
class Program:
    """Python source and the texts that it finds on stdin, one run each. No run sees another's input or traces."""

    source: str
    inputs: tuple[str, ...] = ("",)


@dataclass(frozen=True)
class Outcome:
    """What one run did. The program decides about stdout and no more: whether that is right is judged outside."""

    status: Status
    stdout: str  # at most output_bytes; bytes that are not UTF-8 are replaced
    stderr: str  # the end of it
    exit_code: int | None  # None where a signal ended the run
    cpu_seconds: float
    wall_seconds: float
    wait_seconds: float = 0.0  # of these asleep, as far as we looked

    @property
    def ok(self) -> bool:
        return self.status == "ok"
