"""What goes into the sandbox and what comes out: programs, limits, outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Status = Literal[
    "ok",  # the program ended by itself with exit code 0
    "error",  # it ended with another exit code: an uncaught exception, sys.exit(1), a syntax error
    "timeout",  # it used up its CPU time or its wall clock
    "memory",  # it died of a MemoryError
    "output",  # it wrote more than output_bytes to stdout or stderr, or made more than a thousand files
    "killed",  # a signal ended it, such as a stack overflow
]


class Limits(BaseModel):
    """What one run of a program on one input may use. What decides is CPU time: it is the program's own affair, where
    wall clock depends on who else wants the machine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cpu_seconds: int = Field(2, ge=1, le=600, description="CPU time; whole seconds, as the kernel counts them")
    wall_seconds: float = Field(20, gt=0, le=3600, description="wall clock; far above cpu_seconds, for a busy machine")
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

    @property
    def ok(self) -> bool:
        return self.status == "ok"
