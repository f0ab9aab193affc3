"""Are results what their provenance records say? Which files are altered, missing, stale or unaccounted for.

altered      its bytes are not those that the stage wrote
missing      the stage wrote it, and it is gone
stale        made from other bytes than its inputs have now, with another setting than the configuration has now, or
             from a file that is itself altered, missing or stale
unrecorded   no record names it
malformed    the record cannot be read
"""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from confessions.config import Config
from confessions.pipeline import paths, specs, subjects
from confessions.pipeline.blocks import Spec
from confessions.runtime import folders
from confessions.runtime.errors import InputError
from confessions.runtime.provenance import FOLDER, File, Record, at, describe, read, record_file, record_files

WORKING = {FOLDER, folders.WORK, folders.BENCHMARKS}  # folders without results
RESULTS = "results"
LEFT_OVER = "delete what is left over, or make it again"
NO_RESULTS = {".log", ".html"}  # what jobs said; snakemake's report, which is made from results


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that is wrong with one file or folder."""

    path: str
    kind: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind:<10} {self.path}: {self.what}"


@dataclass(frozen=True)
class Verdict:
    findings: list[Finding]
    records: list[Record]
    n_files: int

    def summary(self) -> str:
        """Files, records and what was found, and the revisions of the code that made them."""
        kinds = Counter(finding.kind for finding in self.findings)
        found = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items())) or "all as they were made"
        revisions = Counter(record.revision for record in self.records)
        made = ", ".join(f"{revision} ({n})" for revision, n in revisions.most_common())
        return f"{self.n_files} files, {len(self.records)} records: {found}; made at revision {made or 'unknown'}"


def verify(folder: Path, config: Config | None = None) -> Verdict:
    """Hold every file in `folder` to its record, and the records to `config` where there is one.

    Raises InputError where the folder does not exist or holds no record at all.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name the folder of results")
    findings, records = [], {}
    for path in record_files(folder):
        try:
            records[path] = read(path)
        except InputError as error:
            findings.append(Finding(str(path), "malformed", str(error).removeprefix(f"{path}: ")))
    if not records and not findings:
        raise InputError(
            f"{folder}: no provenance record here ({FOLDER}/*.json): these results were made before records were kept, "
            "or elsewhere; delete them and run snakemake again"
        )
    files = {at(path, name): (record, path, name) for path, record in records.items() for name in record.outputs}
    now = _read_all(records)
    bad: dict[str, tuple[str, str]] = {}
    settings = _expected(config) if config else {}
    for path, (record, place, name) in files.items():
        if now[path] is None:
            bad[path] = ("missing", f"{record.stage} wrote it at {record.revision}, and it is gone")
        elif now[path].digest != record.outputs[name].digest:
            size = f"{record.outputs[name].bytes} bytes then, {now[path].bytes} now"
            bad[path] = ("altered", f"not the bytes that {record.stage} wrote at {record.revision} ({size})")
        elif reason := _stale(record, name, place, now) or _changed(record, settings.get(_in_results(place, folder))):
            bad[path] = ("stale", reason)
    _follow(files, bad)
    findings += [Finding(path + _whose(files[path][0]), *what) for path, what in bad.items()]
    findings += _unrecorded(folder, set(files))
    return Verdict(sorted(findings), list(records.values()), len(files))


def root(folder: Path) -> Path:
    """What the paths of the workflow are relative to: the folder that holds `results`, in which `folder` is or which it
    is itself, whatever it is called now."""
    path = Path(os.path.abspath(folder))  # not resolved: results may be a link
    return next((above.parent for above in (path, *path.parents) if above.name == RESULTS), path.parent)


def _in_results(record: Path, folder: Path) -> str:
    """The path of a record as the workflow names it, wherever the results are and whence they are looked at."""
    path, above = Path(os.path.abspath(record)), root(folder)
    return os.path.join(RESULTS, *path.relative_to(above).parts[1:])


def _whose(record: Record) -> str:
    return f" ({record.experiment})" if record.experiment else ""


def _read_all(records: Mapping[Path, Record]) -> dict[str, File | None]:
    """Each recorded path as it is now, read once; None where it is gone."""
    names = {at(path, name): None for path, record in records.items() for name in (*record.outputs, *record.inputs)}
    there = {name for name in names if os.path.isfile(name)}
    size = sum(os.path.getsize(name) for name in there)
    with tqdm(total=size, desc="verifying", unit="B", unit_scale=True) as bar:
        try:
            return {name: describe(Path(name), bar.update) if name in there else None for name in names}
        except OSError as error:
            raise InputError(f"{error.filename}: cannot be read ({error.strerror})") from None


def _stale(record: Record, name: str, place: Path, now: Mapping[str, File | None]) -> str | None:
    """What has become of an output's inputs since it was made."""
    changed = [i for i in record.outputs[name].inputs if now[at(place, i)] is None or
               now[at(place, i)].digest != record.inputs[i].digest]  # fmt: skip
    if not changed:
        return None
    path, more = at(place, changed[0]), f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
    return f"{path}, which it was made from, is gone{more}" if now[path] is None else f"made from another {path}{more}"


def _changed(record: Record, expected: Mapping[str, Any] | None) -> str | None:
    """The first setting that the configuration has otherwise now."""
    first = next(_differences(record.config, expected), None) if expected is not None else None
    return first and f"made with {first[0]} = {first[1]!r}, the configuration has {first[2]!r}"


def _differences(then: Any, now: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys([*then, *now]):
            yield from _differences(then.get(key), now.get(key), f"{path}.{key}" if path else key)
    elif then != now:
        yield path, then, now


def _follow(files: Mapping[str, tuple[Record, Path, str]], bad: dict[str, tuple[str, str]]) -> None:
    """Add to `bad` what was made from a file that is in it, and so on."""
    before = -1
    while len(bad) != before:
        before = len(bad)
        for path, (record, place, own) in files.items():
            inputs = (at(place, name) for name in record.outputs[own].inputs)
            cause = next((name for name in inputs if name in bad), None) if path not in bad else None
            if cause is not None:
                bad[path] = ("stale", f"made from {cause}, which is {bad[cause][0]}")


def _unrecorded(folder: Path, known: set[str]) -> list[Finding]:
    """Folders with files that no record names. A model folder may be a link to one elsewhere. What a link in the
    folder shows of it, as the view of the chosen experiment does, is looked at where it lies."""
    found, inside = [], os.path.realpath(folder) + os.sep
    for place, below, names in os.walk(folder):
        linked = [name for name in below if os.path.islink(os.path.join(place, name))]
        below[:] = [name for name in below if name not in WORKING and not name.startswith(".")]
        paths = {os.path.normpath(os.path.join(place, name)) for name in names if not _ignored(name)}
        paths |= {
            path
            for path in (os.path.normpath(os.path.join(place, name)) for name in linked)
            if not any(other.startswith(path + os.sep) for other in known)
        }
        shown = {path for path in paths if os.path.islink(path) and os.path.realpath(path).startswith(inside)}
        if lost := sorted(paths - known - shown):
            more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
            what = f"no record names {os.path.basename(lost[0])}{more}; {LEFT_OVER}"
            found.append(Finding(os.path.normpath(place), "unrecorded", what))
    return found


def _ignored(name: str) -> bool:
    return name.startswith(".") or os.path.splitext(name)[1] in NO_RESULTS


def _expected(config: Config) -> dict[str, dict[str, Any]]:
    """The spec that each stage of each experiment would be given now, by the path of its record."""
    found: dict[str, dict[str, Any]] = {}

    def add(folder: str, name: str, spec: Spec) -> None:
        found[os.path.normpath(record_file(folder, name))] = json.loads(spec.as_json())  # as a record holds it

    for key in config.models:
        add(os.path.dirname(paths.model_folder(key)), key, specs.model_spec(config, key))
    for experiment in config.experiments:
        chosen = config.model_copy(update={"experiment": experiment})
        every = subjects.subjects(chosen)
        for seed in chosen.active.seeds if chosen.active.train else ():  # some experiments train nothing
            add(os.path.dirname(paths.metrics_file(chosen, seed)), "train", specs.train_spec(chosen, seed))
        made = {paths.judge_check_file(chosen): specs.score_spec(chosen)} if specs.checks_judge(chosen) else {}
        for base in dict.fromkeys(subject.base for subject in every):
            made |= dict.fromkeys((s.rollouts for s in every if s.base == base), specs.rollout_spec(chosen, base))
        for file, spec in made.items():
            add(os.path.dirname(file), Path(file).stem, spec)
        bases = {os.path.dirname(s.scores): None if s.kind == "seeded" else s.base for s in every if s.scores}
        for folder, base in bases.items():
            add(folder, "score", specs.score_spec(chosen, base))
        add(paths.log_folder(chosen), experiment, specs.logs_spec(chosen))
    return found
