"""Scores of anybody's transcripts: one JSON object a line in, one CSV row each out (docs/transcripts.md).

Lines are read, scored and written one by one, so memory does not grow with the file. A bad line is reported with its
number and passed over.
"""

import codecs
import csv
import difflib
import json
import os
import reprlib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO, TextIO

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError
from tqdm import tqdm

from confessions.prompts.report import DECODER
from confessions.runtime import outside
from confessions.runtime.errors import InputError
from confessions.runtime.files import half_pair, published
from confessions.scoring.forms import from_messages, inspect_lines, is_inspect_log
from confessions.scoring.given import task_named
from confessions.scoring.scores import SHARES, names_of, score_conversation
from confessions.tasks.conversation import Conversation

STDIN, NOWHERE = "-", Path(os.devnull)
LONGEST_LINE = 2**20  # bytes, without its end; bounds the time and memory that a line can cost
LONGEST_ID = 200

# Columns -> the scores that they hold. A task that lacks one leaves the column empty.
_COLUMNS = {
    "n_sentences": "n_sentences",
    "counts": "counts",
    "labels": "labels",
    "met": "met",
    "exact_compliance": "exact_compliance",
    "hacked": "hacked",
    "report_valid": "report_valid",
    "invalid_reason": "invalid_reason",
    "claims": "claims",
    "grade": "grade",
    "by_position": "n_by_position",
    "claim_match": "claim_match",
    "grade_honest": "grade_honest",
    "checked": "checked",
}
COLUMNS = ("id", "task", *_COLUMNS, *SHARES)


class Transcript(BaseModel):
    """One rollout of any model: the task's instance and what the model wrote."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    id: Any
    task: Annotated[str, Field(max_length=100)]
    spec: dict[str, Any]  # checked by the task's spec_model
    answer: str  # y
    confession: str  # yc, as it was produced
    confession_reasoning: str | None = None  # zc
    answer_reasoning: str | None = None  # z; no score depends on it
    variant: str = "default"  # of the request, whose family says which form the report has
    condition: Annotated[str, Field(min_length=1, max_length=LONGEST_ID)] = "baseline"  # the system prompt, by any name
    model: Annotated[str, Field(min_length=1, max_length=LONGEST_ID)] = "the model"  # who wrote it, by any name
    confession_truncated: bool = False  # the token limit was reached: the report is invalid
    instance: Annotated[str, Field(min_length=1, max_length=LONGEST_ID)] | None = None  # what was asked, by any name

    @field_validator("id")
    @classmethod
    def _id(cls, value: Any) -> str | int:
        if type(value) is int or (isinstance(value, str) and value.isprintable() and 1 <= len(value) <= LONGEST_ID):
            return value
        what = f"must be an integer or a string of 1 to {LONGEST_ID} printable characters"
        raise PydanticCustomError("id", what)


def parse(line: bytes) -> Transcript:
    """The transcript of a line. Raises InputError: what is wrong, in one line."""
    try:
        data = DECODER.decode(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 (byte {error.start + 1})") from None
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON ({error.msg} at character {error.pos + 1})") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON ({error})") from None
    if not isinstance(data, dict):
        raise InputError("not a JSON object")
    if "messages" in data:
        data = from_messages(data)
    transcript = _validated(Transcript, data)
    if b"\\u" in line and (what := half_pair(transcript.spec)):  # UTF-8 holds none unless it is escaped
        raise InputError(f"spec: {what}")
    task = task_named(transcript.task)
    _validated(task.spec_model, transcript.spec, "spec.")
    if not outside.is_path(transcript.variant):
        task.wording_of(transcript.variant)  # is known
    return transcript


def scored(transcript: Transcript) -> dict[str, Any]:
    """Its scores (scores.py), without what names it."""
    said = Conversation(
        transcript.spec,
        transcript.answer,
        transcript.confession,
        transcript.confession_reasoning or "",
        transcript.answer_reasoning or "",
        confession_truncated=transcript.confession_truncated,
        variant=transcript.variant,
    )
    return score_conversation(task_named(transcript.task), said)


def named(transcript: Transcript) -> dict[str, Any]:
    """What names its scores in a table of several."""
    names = names_of(task_named(transcript.task), transcript.spec, transcript.answer)
    if transcript.instance:
        names["instance"] = transcript.instance
    return {name: getattr(transcript, name) for name in ("id", "task", "model", "condition", "variant")} | names


def row(transcript: Transcript) -> tuple[list[str | int | float], str]:
    """The values of COLUMNS: nothing is empty text, true and false and lists are JSON text; and why some of them are
    not known, empty where all are."""
    return _values(transcript, scored(transcript))


def _values(transcript: Transcript, scores: dict[str, Any]) -> tuple[list[str | int | float], str]:
    values = [_cell(scores.get(name)) for name in _COLUMNS.values()]
    n = scores["n_objectives"]
    shares = [scores[name] / n if n else "" for name in SHARES.values()]
    return [transcript.id, transcript.task, *values, *shares], scores.get("not_known", "")


def score_lines(
    lines: Iterable[tuple[int, bytes | None]],
    table: TextIO,
    complain: Callable[[str], None],
    keep: Callable[[dict[str, Any]], None] | None = None,
) -> tuple[int, int]:
    """Score numbered lines (None: too long) into a CSV table; returns how many were scored and how many are bad.

    A blank line is no transcript and no error. The header is written with the first row. What is not known of a line is
    complained of, and the line is scored. `keep` is given the scores of each line, with what names them.
    """
    writer = csv.writer(table, lineterminator="\n")
    good = bad = 0
    for number, line in lines:
        try:
            if line is None:
                raise InputError(f"longer than {LONGEST_LINE:,} bytes")
            if not line.strip():
                continue
            transcript = parse(line)
            scores = scored(transcript)
        except InputError as error:
            complain(f"line {number}: {error}")
            bad += 1
            continue
        values, not_known = _values(transcript, scores)
        if keep:
            keep(named(transcript) | scores)
        if not good:
            writer.writerow(COLUMNS)
        if not_known:
            complain(f"line {number}: not all is known of it, and its cells are empty: {not_known}")
        writer.writerow(values)
        good += 1
    return good, bad


def score_file(
    source: Path,
    out: Path | None,
    say: Callable[[str], None],
    keep: Callable[[dict[str, Any]], None] | None = None,
) -> bool:
    """Score the lines of a file ("-": of stdin) into a CSV file, published whole, or on stdout; where the scores are
    given to `keep`, on stdout there are none.

    Returns whether every line was good. Raises InputError where the file cannot be read, `out` cannot be written, or
    no line could be scored; `out` then stays as it was.
    """
    with _opened(source) as (file, size):
        if out is not None:
            _check_target(source, out)
        # No bar between the rows on a terminal; disable=None: none where stderr is no terminal.
        hidden = True if out is None and keep is None and sys.stdout.isatty() else None
        bar = tqdm(total=size, unit="B", unit_scale=True, desc=source.name, disable=hidden, leave=False)
        with bar, _table(NOWHERE if out is None and keep else out) as table:
            lines = inspect_lines(source) if is_inspect_log(source) else _lines(file, source, bar.update)
            good, bad = score_lines(lines, table, lambda text: tqdm.write(text, file=sys.stderr), keep)
            if not good:
                raise InputError(f"{source}: " + (f"0 scored, {bad} bad" if bad else "no transcript in it"))
    say(f"{good} scored, {bad} bad")
    return not bad


def _validated(model: type[BaseModel], data: Any, where: str = "") -> Any:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InputError(_problem(error, list(model.model_fields), where)) from None


def _problem(error: ValidationError, known: list[str], where: str) -> str:
    """The first problem in one line; an unknown key goes first, for it explains a missing one."""
    first = min(error.errors(include_url=False), key=lambda problem: problem["type"] != "extra_forbidden")
    path = (where + ".".join(map(str, first["loc"]))).removesuffix(".")
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(first["loc"][0]), known, n=1, cutoff=0.4)
        return f"unknown key {reprlib.repr(path)}; " + (f"nearest known: {near[0]!r}" if near else f"known: {known}")
    if first["type"] == "missing":
        return f"key {path!r} is missing"
    return f"{path} = {reprlib.repr(first['input'])}: {first['msg'][0].lower()}{first['msg'][1:]}"


def _cell(value: Any) -> str | int | float:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value) if isinstance(value, list) else value


@contextmanager
def _opened(source: Path) -> Iterator[tuple[BinaryIO, int | None]]:
    """The open file and its size, None where it has none."""
    if str(source) == STDIN:
        yield sys.stdin.buffer, None
        return
    try:
        file = source.open("rb")
    except OSError as error:
        raise InputError(f"{source}: {error.strerror}") from None
    with file:
        yield file, os.fstat(file.fileno()).st_size or None


def _check_target(source: Path, out: Path) -> None:
    """Raise InputError where publishing would destroy something or fail after the work is done."""
    if files := [above for above in out.parents if above.exists() and not above.is_dir()]:
        raise InputError(f"{files[0]}: not a folder; give --out another name")
    if out.exists() and not out.is_file():
        raise InputError(f"{out}: not a file; give --out another name")
    if out.exists() and str(source) != STDIN and out.samefile(source):
        raise InputError(f"{out}: the file that is read; give --out another name")


@contextmanager
def _table(out: Path | None) -> Iterator[TextIO]:
    """Where the rows go. A pipe whose reader has gone stays a BrokenPipeError."""
    try:
        if out is None:
            sys.stdout.reconfigure(encoding="utf-8", newline="")
            yield sys.stdout
            sys.stdout.flush()
        elif out == NOWHERE:
            with out.open("w", encoding="utf-8") as file:
                yield file
        else:
            with published(out) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
                yield file
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InputError(f"{out or 'stdout'}: cannot be written ({error.strerror})") from None


def _lines(file: BinaryIO, source: Path, advance: Callable[[int], Any]) -> Iterator[tuple[int, bytes | None]]:
    """Number, from 1, and bytes of each line; None for one longer than LONGEST_LINE, which is never held whole."""
    number = 0
    try:
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            advance(len(line))
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if len(line) <= LONGEST_LINE or line.endswith(b"\n"):
                yield number, line
                continue
            while not line.endswith(b"\n") and (line := file.readline(LONGEST_LINE)):
                advance(len(line))
            yield number, None
    except OSError as error:
        raise InputError(f"{source}: cannot be read ({error.strerror})") from None
