"""Generated problems: references are right, programs that know only the samples are not; reading data sets."""

import ast
import base64
import hashlib
import json
import os
import pickle
import random
import re
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path

import pytest
from machine import WITHOUT_SANDBOX

import confessions
from confessions.runtime.errors import InputError
from confessions.sandbox import Program, Sandbox
from confessions.tasks.programming.problems import Problem, archive, base, easy, generated, hardcode, matches

FAMILIES = list(base.families())
PROBLEMS = generated("train") + generated("evaluation")
BY_ID = {problem.id: problem for problem in PROBLEMS}


def test_how_many_there_are():
    """20 families of 10: 7 easy, 6 medium, 7 hard."""
    assert Counter(entry.band for entry in base.families().values()) == {"easy": 7, "medium": 6, "hard": 7}
    assert Counter(problem.band for problem in generated("train")) == {"easy": 42, "medium": 36, "hard": 42}
    assert Counter(problem.band for problem in generated("evaluation")) == {"easy": 28, "medium": 24, "hard": 28}
    assert len(BY_ID) == len(PROBLEMS) == 200
    assert {(len(p.samples), len(p.hidden)) for p in PROBLEMS} == {(3, 10)}


def test_the_splits_share_no_parameters():
    for name in FAMILIES:
        parameters = [draft.parameters for draft in base.drafts(name)]
        assert len(set(parameters)) == len(parameters) == base.TRAIN + base.EVALUATION
    assert len({problem.statement for problem in PROBLEMS}) == len(PROBLEMS)
    assert len({problem.reference for problem in PROBLEMS}) == len(PROBLEMS)


def test_the_problems_are_the_same_in_every_process():
    source = (
        "import hashlib\nfrom confessions.tasks.programming.problems import generated\n"
        "text = ''.join(p.model_dump_json() for s in ('train', 'evaluation') for p in generated(s))\n"
        "print(hashlib.sha256(text.encode()).hexdigest())"
    )
    here = hashlib.sha256("".join(p.model_dump_json() for p in PROBLEMS).encode()).hexdigest()
    for seed in "0", "1":
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(confessions.__file__).parents[1])}
        found = subprocess.run(
            [sys.executable, "-c", source], env=environment, capture_output=True, text=True, check=True
        )
        assert found.stdout.strip() == here


@pytest.mark.parametrize("name", FAMILIES)
def test_every_answer_is_what_the_checker_finds(name):
    """The checker knows another way; a slip in the reference would have to be made twice."""
    for number, draft in enumerate(base.drafts(name)):
        for text, output in BY_ID[f"{name}-{number}"].samples + BY_ID[f"{name}-{number}"].hidden:
            assert matches(draft.check(text), output), (draft.parameters, text)
        rng = random.Random(f"more of {name}")
        for text in [draft.draw(rng) for _ in range(20)]:
            assert matches(draft.check(text), base.answer(draft.reference, text)), (draft.parameters, text)


@pytest.mark.parametrize("name", FAMILIES)
def test_tests_are_fit_to_tell_a_solution_from_a_guess(name):
    for problem in (p for p in PROBLEMS if p.family == name):
        inputs = [text for text, _ in problem.samples + problem.hidden]
        assert len(set(inputs)) == len(inputs)
        assert max(Counter(output for _, output in problem.hidden).values()) <= 5
        assert len({output for _, output in problem.samples}) > 1
        assert all(text.endswith("\n") and output.endswith("\n") for text, output in problem.hidden)


@pytest.mark.parametrize("name", FAMILIES)
def test_edges_are_hidden_tests(name):
    for number, draft in enumerate(base.drafts(name)):
        hidden = [text for text, _ in BY_ID[f"{name}-{number}"].hidden]
        assert draft.edges
        assert set(draft.edges) <= set(hidden)


def test_inputs_keep_to_the_stated_bounds():
    """Where a constraint reads `low <= n <= high` and n is all of the input."""
    checked = 0
    for problem in PROBLEMS:
        for low, high in re.findall(r"^(-?\d+) <= (?:n|each) <= (\d+)$", "\n".join(problem.constraints), re.M):
            for text, _ in problem.samples + problem.hidden:
                if problem.family not in ("knapsack", "leaper"):
                    assert all(int(low) <= int(word) <= int(high) for word in text.split()), problem.id
                    checked += 1
    assert checked > 1000


def test_easy_references_are_one_short_line():
    for problem in PROBLEMS:
        if problem.band == "easy":
            assert problem.reference.count("\n") == 1
            assert len(problem.reference) < 70
            assert len(ast.parse(problem.reference).body) == 1


def test_a_reference_does_not_name_its_samples():
    """The detector of hardcoding has to acquit every reference."""
    for problem in PROBLEMS:
        literals = {n.value for n in ast.walk(ast.parse(problem.reference)) if isinstance(n, ast.Constant)}
        assert not {output.strip() for _, output in problem.samples} & {x for x in literals if isinstance(x, str)}


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    if WITHOUT_SANDBOX:
        pytest.skip(WITHOUT_SANDBOX)
    return Sandbox()


def passed(problem: Problem, outcomes: list) -> tuple[bool, bool]:
    """Whether a program passed all samples and all hidden tests."""
    right = [
        o.ok and matches(output, o.stdout)
        for o, (_, output) in zip(outcomes, problem.samples + problem.hidden, strict=True)
    ]
    return all(right[: len(problem.samples)]), all(right[len(problem.samples) :])


def graded(sandbox: Sandbox, problems: list[Problem], sources: list[str]) -> list[tuple[bool, bool]]:
    programs = [
        Program(source, tuple(text for text, _ in problem.samples + problem.hidden))
        for problem, source in zip(problems, sources, strict=True)
    ]
    return [passed(problem, outcomes) for problem, outcomes in zip(problems, sandbox.run(programs), strict=True)]


def test_references_pass_and_hardcoders_do_not_in_the_sandbox(sandbox):
    """One problem a family, in isolation; all the others below, in this process."""
    problems = [next(p for p in generated("evaluation") if p.family == name) for name in FAMILIES]
    references = graded(sandbox, problems, [problem.reference for problem in problems])
    assert set(references) == {(True, True)}
    for style in (hardcode.table, hardcode.chain):
        assert set(graded(sandbox, problems, list(map(style, problems)))) == {(True, False)}


@pytest.mark.parametrize("style", [hardcode.table, hardcode.chain])
def test_every_hardcoder_passes_the_samples_and_fails_the_hidden_tests(style, monkeypatch, capsys):
    for problem in PROBLEMS:
        program, right = compile(style(problem), problem.id, "exec"), []
        for text, output in problem.samples + problem.hidden:
            monkeypatch.setattr(sys, "stdin", _Stdin(text))
            exec(program, {})
            right.append(matches(output, capsys.readouterr().out))
        assert all(right[:3])
        assert sum(right[3:]) <= 5


class _Stdin:
    def __init__(self, text: str):
        self.read = lambda: text


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("1\n2\n", "1\n2\n", True),
        ("1\n2\n", "1 \n2", True),
        ("1\n2\n", "1\n2\n\n\n", True),
        ("1\n2\n", "1\r\n2\r\n", True),
        ("1\n2\n", "1 2\n", False),
        ("1\n2\n", "1\n\n2\n", False),
        ("1\n2\n", "\n1\n2\n", False),
        (" 1\n", "1\n", False),
        ("1\n", "01\n", False),
        ("1\n", "1.0\n", False),
        ("a\n", "A\n", False),
        ("", "\n", True),
        ("1\n", "", False),
    ],
)
def test_when_an_output_matches(expected, printed, same):
    assert matches(expected, printed) is same


def test_a_family_with_too_few_parameters_is_an_error(monkeypatch):
    monkeypatch.setitem(
        base.FAMILIES, "narrow", base.Family("narrow", "easy", lambda rng: easy.affine(random.Random(0)))
    )
    with pytest.raises(ValueError, match="narrow: only 1 different parameters"):
        base.drafts("narrow")


def test_a_problem_that_a_constant_solves_is_an_error():
    draft = base.Draft((), "s", (), "input()\nprint(1)\n", lambda text: "1", lambda rng: f"{rng.randint(0, 99)}\n")
    with pytest.raises(ValueError, match="one output is right for most inputs"):
        base._problem(base.Family("constant", "easy", lambda rng: draft), 0, draft)


# --- data sets ---

APPS = {
    "problem_id": 7,
    "question": "Double it.",
    "input_output": json.dumps({"inputs": ["1\n", ["2", "3"], "1\n", "4\n"], "outputs": ["2\n", ["4"], "2\n", "8\n"]}),
    "difficulty": "interview",
    "solutions": json.dumps(["print(2 * int(input()))", "other"]),
    "url": "x",
}
CONTESTS = {
    "name": "1_A. Double",
    "description": "Double the number.",
    "public_tests": {"input": ["1\n"], "output": ["2\n"]},
    "private_tests": {"input": ["2\n"], "output": ["4\n"]},
    "generated_tests": {"input": ["3\n", "1\n"], "output": ["6\n", "2\n"]},
    "difficulty": 7,
    "solutions": {"language": [2, 3], "solution": ["int main", "print(2 * int(input()))"]},
}


def cases(*pairs: tuple[str, str], kind: str = "stdin") -> str:
    """Tests as LiveCodeBench has them."""
    return json.dumps([{"input": given, "output": wanted, "testtype": kind} for given, wanted in pairs])


def packed(value: object) -> str:
    """As the light version packs private tests."""
    return base64.b64encode(zlib.compress(pickle.dumps(value))).decode()


LIVE = {
    "question_id": "abc301_a",
    "question_content": "Double what is given.",
    "difficulty": "hard",
    "public_test_cases": cases(("1\n", "2\n")),
    "private_test_cases": cases(("2\n", "4\n"), ("1\n", "2\n")),
    "starter_code": "",
    "platform": "atcoder",
}


def write(folder: Path, *records: object) -> Path:
    path = folder / "problems.jsonl"
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in records))
    return path


def test_three_forms_are_read(tmp_path):
    found = archive.read(write(tmp_path, APPS, CONTESTS, PROBLEMS[0].model_dump()))
    apps, contests, own = found.problems
    assert (apps.id, apps.family, apps.band, apps.statement) == ("apps-7", "apps", "medium", "Double it.")
    assert apps.samples == (("1\n", "2\n"), ("2\n3", "4"))
    assert apps.hidden == (("4\n", "8\n"),)  # without the one whose input a sample shows
    assert (contests.id, contests.family, contests.band) == ("1_A. Double", "code_contests", "easy")
    assert (contests.samples, contests.hidden) == ((("1\n", "2\n"),), (("2\n", "4\n"), ("3\n", "6\n")))
    assert apps.reference == contests.reference == "print(2 * int(input()))"
    assert own == PROBLEMS[0]
    assert found.left_out == {}


@pytest.mark.parametrize("private", [LIVE["private_test_cases"], packed(LIVE["private_test_cases"])])
def test_livecodebench_is_read_plain_and_packed(private, tmp_path):
    function = LIVE | {"question_id": "3", "public_test_cases": cases(("1", "2"), kind="functional")}
    found = archive.read(write(tmp_path, LIVE | {"private_test_cases": private}, function))
    [problem] = found.problems
    assert (problem.id, problem.family, problem.band) == ("livecodebench-abc301_a", "livecodebench", "hard")
    assert (problem.samples, problem.hidden) == ((("1\n", "2\n"),), (("2\n", "4\n"),))
    assert found.left_out == {"calls a function instead of reading stdin": 1}


class Harmful:
    """What would run a command as it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch harmed",)


def test_a_pickle_that_calls_something_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, LIVE | {"private_test_cases": packed(Harmful())})
    with pytest.raises(InputError, match=r"packed as LiveCodeBench does it \(it names \w+\.system, where a text"):
        archive.read(path)
    assert [file.name for file in tmp_path.iterdir()] == ["problems.jsonl"]


def test_a_statement_that_comes_twice_is_left_out(tmp_path):
    """Under another id too: it could be trained on and evaluated on."""
    found = archive.read(write(tmp_path, APPS, APPS | {"problem_id": 8}, CONTESTS))
    assert [problem.id for problem in found.problems] == ["apps-7", "1_A. Double"]
    assert found.left_out == {"an earlier line has its statement": 1}


def test_what_is_no_problem_for_stdin_is_left_out_and_counted(tmp_path):
    calls = APPS | {"input_output": json.dumps({"fn_name": "f", "inputs": [[1]], "outputs": [[2]]})}
    one = APPS | {"input_output": json.dumps({"inputs": ["1\n"], "outputs": ["2\n"]})}
    found = archive.read(write(tmp_path, calls, calls, one, APPS | {"input_output": ""}, CONTESTS))
    assert [problem.id for problem in found.problems] == ["1_A. Double"]
    assert found.left_out == {
        "calls a function instead of reading stdin": 2,
        "no public or no hidden test": 1,
        "no tests": 1,
    }


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: not JSON"),
        ("", "line 2: not JSON"),
        ("[]", "line 2: not a JSON object"),
        ({"name": "x"}, "line 2: none of its fields is known: samples (our own)"),
        (LIVE | {"difficulty": "competition"}, "line 2: difficulty is 'competition', not one of easy, medium, hard"),
        (LIVE | {"private_test_cases": "no base 64"}, "line 2: private_test_cases is neither JSON nor packed"),
        (LIVE | {"private_test_cases": packed([1])}, "line 2: private_test_cases is no list of objects"),
        (LIVE | {"public_test_cases": "[1"}, "line 2: public_test_cases is not JSON"),
        (APPS, "line 2: the id 'apps-7' stands on an earlier line, too"),
        ({k: v for k, v in APPS.items() if k != "question"}, "line 2: the field 'question' is missing"),
        (
            APPS | {"difficulty": "easy"},
            "line 2: difficulty is 'easy', not one of introductory, interview, competition",
        ),
        (APPS | {"input_output": "{"}, "line 2: input_output is not JSON"),
        (
            APPS | {"input_output": {"inputs": ["1"], "outputs": []}},
            "line 2: its tests are not as many outputs as inputs",
        ),
        (APPS | {"problem_id": 8, "question": 5}, "line 2: statement: Input should be a valid string"),
        (CONTESTS | {"public_tests": {"input": [1], "output": ["2"]}}, "line 2: a test's input or output is not text"),
        (PROBLEMS[0].model_dump() | {"band": "brutal"}, "line 2: band: Input should be 'easy', 'medium' or 'hard'"),
        (APPS | {"problem_id": 8, "question": "\ud800"}, r"line 2: half a surrogate pair, '\ud800'"),
        (APPS | {"input_output": "[" * 100_000}, "line 2: input_output is not JSON"),
        (APPS | {"input_output": "[" * 900 + "]" * 900}, "line 2: input_output is not"),
        (APPS | {"input_output": [1]}, "line 2: input_output is not a JSON object"),
        (APPS | {"input_output": "[1]"}, "line 2: input_output is not a JSON object"),
        (CONTESTS | {"public_tests": [1]}, "line 2: public_tests is not a JSON object"),
        (CONTESTS | {"generated_tests": "x"}, "line 2: generated_tests is not a JSON object"),
        (CONTESTS | {"solutions": ["print(1)"]}, "line 2: solutions is not a JSON object"),
        (
            APPS | {"input_output": r'{"inputs": ["\ud800"], "outputs": ["1"]}'},
            "line 2: input_output: half a surrogate",
        ),
        (PROBLEMS[0].model_dump() | {"hidden": []}, "line 2: hidden: Tuple should have at least 1 item"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    path = write(tmp_path, APPS, line)
    with pytest.raises(InputError) as error:
        archive.read(path)
    assert str(error.value).startswith(f"{path}: {message}")
    assert "\n" not in str(error.value)


def test_a_missing_or_empty_file_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        archive.read(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no problems"):
        archive.read(write(tmp_path))
