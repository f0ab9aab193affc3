"""Problems from a local copy of a data set, as JSONL: one object a line, in one of four forms told by their fields.

- APPS: `problem_id`, `question`, `input_output` (JSON in a string: `inputs`, `outputs`, perhaps `fn_name`),
  `difficulty` (introductory, interview, competition), `solutions` (JSON in a string: a list of sources).
- CodeContests: `name`, `description`, `public_tests`, `private_tests`, `generated_tests` (each with the lists `input`
  and `output`), `difficulty` (its number), `solutions` (the lists `language` and `solution`).
- LiveCodeBench: `question_id`, `question_content`, `difficulty` (easy, medium, hard), `public_test_cases` and
  `private_test_cases` (JSON in a string: a list of `input`, `output` and `testtype`; the latter also as the light
  version packs it: pickled, compressed, in base 64).
- Our own: the fields of `Problem`.

Other fields are passed over. Their solutions and answers are taken as they are: nothing is run here.
"""

from __future__ import annotations

import base64
import io
import json
import pickle
import zlib
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from confessions.runtime.errors import InputError, first_fault, first_line
from confessions.runtime.files import half_pair, parse_json
from confessions.tasks import base
from confessions.tasks.base import EVALUATION_EVERY
from confessions.tasks.programming.problems.base import Band, Problem, Split

APPS_BANDS: dict[str, Band] = {"introductory": "easy", "interview": "medium", "competition": "hard"}
# EASY, MEDIUM, HARD, HARDER, HARDEST are 1 to 5; Codeforces' letters A, B, C, ... are 7, 8, 9, ... (a problem's place
# in its contest); 0 and 6 say nothing.
CONTESTS_BANDS: dict[int, Band] = {
    1: "easy",
    2: "medium",
    7: "easy",
    8: "medium",
    9: "medium",
    0: "medium",
    6: "medium",
}
REPAIR = "repair or remove the line"
PYTHON3 = 3  # in CodeContests' list of languages
MOST_UNPACKED = 2**29  # bytes of a problem's tests

Test = tuple[str, str]


class Archive(NamedTuple):
    problems: list[Problem]
    left_out: Counter[str]  # how many whole lines could not become problems, by the reason


def of_split(path: str | Path, split: Split) -> tuple[Problem, ...]:
    """The problems of a file to train on, or every fourth, to evaluate on. Raises InputError as `read` does, and where
    there are too few for both."""
    problems = kept(Path(path)).problems
    if len(problems) < EVALUATION_EVERY:
        raise InputError(
            f"{path}: {len(problems)} problems, too few to train on some and evaluate on others: at least "
            f"{EVALUATION_EVERY}; `confessions problems {path}` says what is left out"
        )
    return tuple(base.of_split(problems, split))


@cache
def kept(path: Path) -> Archive:
    """As `read` gives it; read once a process."""
    return read(path)


class _LeftOut(Exception):
    """A line that is as it should be and yet no problem for a program that reads stdin."""


def read(path: str | Path, samples: int = 2) -> Archive:
    """Read a file. `samples`: how many of an APPS problem's tests become public; APPS does not tell them apart.

    Raises InputError, which names the line, where one is not a JSON object of a known form or an id comes twice.
    """
    problems: dict[str, Problem] = {}
    statements: set[str] = set()
    left_out: Counter[str] = Counter()
    try:
        with Path(path).open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                try:
                    problem = _problem(parse_json(line, f"{path}: line {number}", REPAIR), samples)
                    if problem.id in problems:
                        raise ValueError(f"the id {problem.id!r} stands on an earlier line, too")
                    if problem.statement in statements:  # or it could be trained on and evaluated on
                        raise _LeftOut("an earlier line has its statement")
                    statements.add(problem.statement)
                    problems[problem.id] = problem
                except InputError:
                    raise
                except _LeftOut as reason:
                    left_out[str(reason)] += 1
                except ValidationError as error:
                    raise InputError(f"{path}: line {number}: {first_fault(error)}; {REPAIR}") from None
                except (ValueError, TypeError, KeyError) as error:  # ValueError: JSONDecodeError, too
                    raise InputError(f"{path}: line {number}: {_what(error)}; {REPAIR}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: unreadable ({first_line(error)}); give a JSONL file in UTF-8") from None
    if not problems:
        raise InputError(f"{path}: no problems ({dict(left_out) or 'empty'}); see docs/problems.md")
    return Archive(list(problems.values()), left_out)


def _what(error: Exception) -> str:
    return f"the field {error.args[0]!r} is missing" if isinstance(error, KeyError) else first_line(error)


def _problem(record: Any, samples: int) -> Problem:
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    if "samples" in record:
        return Problem.model_validate(record)
    if "input_output" in record:
        return _apps(record, samples)
    if "public_tests" in record:
        return _contests(record)
    if "public_test_cases" in record:
        return _livecodebench(record)
    known = "samples (our own), input_output (APPS), public_tests (CodeContests), public_test_cases (LiveCodeBench)"
    raise ValueError(f"none of its fields is known: {known}")


def _apps(record: dict[str, Any], n_samples: int) -> Problem:
    if not record["input_output"]:
        raise _LeftOut("no tests")
    tests = _object(_embedded(record, "input_output"), "input_output")
    if tests.get("fn_name"):
        raise _LeftOut("calls a function instead of reading stdin")
    pairs = _pairs(tests["inputs"], tests["outputs"])
    solutions = _embedded(record, "solutions") if record.get("solutions") else []
    difficulty = record["difficulty"]
    if difficulty not in APPS_BANDS:
        raise ValueError(f"difficulty is {difficulty!r}, not one of {', '.join(APPS_BANDS)}")
    name, band, solution = f"apps-{record['problem_id']}", APPS_BANDS[difficulty], next(iter(solutions), None)
    return _made(name, "apps", band, record["question"], pairs[:n_samples], pairs[n_samples:], solution)


def _contests(record: dict[str, Any]) -> Problem:
    public, given, made = (
        _pairs(tests.get("input", []), tests.get("output", []))
        for field in ("public_tests", "private_tests", "generated_tests")
        for tests in (_object(record.get(field) or {}, field),)
    )
    solutions = _object(record.get("solutions") or {"language": [], "solution": []}, "solutions")
    sources = zip(solutions["language"], solutions["solution"], strict=True)
    solution = next((source for language, source in sources if language == PYTHON3), None)
    band = CONTESTS_BANDS.get(record.get("difficulty") or 0, "hard")
    return _made(record["name"], "code_contests", band, record["description"], public, [*given, *made], solution)


def _livecodebench(record: dict[str, Any]) -> Problem:
    public, private = (_cases(record, field) for field in ("public_test_cases", "private_test_cases"))
    band = record["difficulty"]
    if band not in APPS_BANDS.values():
        raise ValueError(f"difficulty is {band!r}, not one of {', '.join(APPS_BANDS.values())}")
    name = f"livecodebench-{record['question_id']}"
    return _made(name, "livecodebench", band, record["question_content"], public, private, None)


def _cases(record: dict[str, Any], field: str) -> list[Test]:
    text = record[field]
    packed = isinstance(text, str) and not text.lstrip().startswith(("[", "null"))
    cases = _embedded({field: _unpacked(text, field)} if packed else record, field) or []
    if not isinstance(cases, list) or not all(isinstance(case, dict) for case in cases):
        raise ValueError(f"{field} is no list of objects")
    if any(case.get("testtype") == "functional" for case in cases):
        raise _LeftOut("calls a function instead of reading stdin")
    return _pairs([case["input"] for case in cases], [case["output"] for case in cases])


class _TextAlone(pickle.Unpickler):
    """Reads plain values. A pickle can name any function to call: none is found here."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it names {module}.{name}, where a text is expected")


def _unpacked(text: str, field: str) -> Any:
    """The text that is pickled, compressed and written in base 64."""
    try:
        opened = zlib.decompressobj()
        data = opened.decompress(base64.b64decode(text, validate=True), MOST_UNPACKED)
        if opened.unconsumed_tail:
            raise ValueError(f"more than {MOST_UNPACKED:,} bytes")
        return _TextAlone(io.BytesIO(data)).load()
    except Exception as error:  # a pickle that is none ends in any way
        raise ValueError(f"{field} is neither JSON nor packed as LiveCodeBench does it ({first_line(error)})") from None


def _made(
    name: str, family: str, band: Band, statement: str, samples: list[Test], hidden: list[Test], solution: str | None
) -> Problem:
    shown = {text for text, _ in samples}
    hidden = [test for test in dict.fromkeys(hidden) if test[0] not in shown]
    if not samples or not hidden:
        raise _LeftOut("no public or no hidden test")
    return Problem(
        id=name, family=family, band=band, statement=statement, samples=samples, hidden=hidden, reference=solution
    )


def _object(value: Any, field: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{field} is not a JSON object")
    return value


def _embedded(record: dict[str, Any], field: str) -> Any:
    """A field of APPS: JSON in a string, or what somebody has already unpacked."""
    value = record[field]
    try:
        found = json.loads(value) if isinstance(value, str) else value
        what = half_pair(found)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{field} is not JSON ({first_line(error)})") from None
    if what:
        raise ValueError(f"{field}: {what}")
    return found


def _pairs(inputs: Any, outputs: Any) -> list[Test]:
    """Tests; APPS gives some texts as lists of lines."""
    if not isinstance(inputs, list) or not isinstance(outputs, list) or len(inputs) != len(outputs):
        raise ValueError("its tests are not as many outputs as inputs")
    texts = [
        ["\n".join(map(str, text)) if isinstance(text, list) else text for text in side] for side in (inputs, outputs)
    ]
    if not all(isinstance(text, str) for side in texts for text in side):
        raise ValueError("a test's input or output is not text")
    return list(zip(*texts, strict=True))
