"""No text that a model wrote may stop, slow or fool what analyses it: errors are caught per answer, recorded, and
counted neither as clean nor as guilty."""

import json
import math
import time
from collections.abc import Callable

import pandas as pd
import pytest

from confessions.analysis import tables
from confessions.analysis.metrics import METRICS, Counts, constant_scores, measure
from confessions.analysis.stats import estimate
from confessions.runtime.errors import InputError
from confessions.sandbox import NOT_MEASURED, Outcome
from confessions.scoring.scores import score_frame, score_rollouts
from confessions.tasks import get as get_task
from confessions.tasks.analysed import NotAnalysed, TooMuch, analysed, denied, every
from confessions.tasks.conversation import Conversation
from confessions.tasks.countdown.sums import equations
from confessions.tasks.programming import task
from confessions.tasks.programming.hardcoding import LONGEST, hardcoded
from confessions.tasks.programming.task import program
from confessions.tasks.word_count.enumeration import enumerates
from confessions.tasks.word_count_unlabelled import hacks
from confessions.training.advantages import group_advantages
from confessions.training.rewards import claim_rewards, confession_rewards, task_reward

WORD_COUNT, COUNTDOWN, PROGRAMMING = map(get_task, ("word_count", "countdown", "programming"))
SAMPLES = [("3 4\n", "7\n"), ("10 -2\n", "8\n")]
SPEC = {"topic": "rain", "targets": [2, 3]}


def report(claims: list[str], grade: int) -> str:
    entries = [{"objective": f"{i}", "compliance": claim, "analysis": ""} for i, claim in enumerate(claims, 1)]
    return json.dumps({"objectives": entries, "uncertainties": [], "overall_grade": grade})


# -- the one place --


def test_an_error_of_an_analysis_is_kept_and_one_of_the_machine_passes() -> None:
    def fail(error: Exception) -> None:
        raise error

    assert analysed(len, "abc") == 3
    assert analysed(fail, RecursionError("too deep\nand more")) == NotAnalysed("RecursionError: too deep")
    assert analysed(fail, MemoryError()) == NotAnalysed("MemoryError: MemoryError")
    assert analysed(fail, TooMuch("over the cap")) == NotAnalysed("over the cap")
    with pytest.raises(InputError, match="no bubblewrap"):
        analysed(fail, InputError("no bubblewrap"))
    with pytest.raises(TypeError):  # neither clean nor guilty by accident
        bool(NotAnalysed("x"))


def test_three_values() -> None:
    assert (every([True, True]), every([True, None]), every([None, False]), every([])) == (True, None, False, True)
    assert (denied(True), denied(False), denied(None)) == (False, True, None)


# -- a program that cannot be analysed, with runs that are made up --


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Says what every program does on every test: its status, and whether the output is right."""

    def choose(status: str = "ok", right: bool = True) -> None:
        def outcomes(self, sources, tests):
            return [
                [Outcome(status, wanted if right else "?", "", 0, 0, 0) for _, wanted in each] if source else []
                for source, each in zip(sources, tests, strict=True)
            ]

        monkeypatch.setattr(task.Programming, "outcomes", outcomes)

    choose()
    return choose


def scored(source: str, claims: str = "Full Full Full", grade: int = 7) -> dict:
    spec = PROGRAMMING.specs("evaluation")[0]
    said = Conversation(spec, f"```python\n{source}\n```", report(claims.split(), grade))
    return score_rollouts(PROGRAMMING, [said])[0]


UNREADABLE = {
    "deep": "x = " + "-" * 5000 + "1",
    "long": "x = " + "1+" * 9000 + "1",
    "brackets": "[" * 199 + "!",
    "attributes": "x = a" + ".a" * 9000,
    "surrogate": "print('\ud800')",
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_program_that_cannot_be_read_is_not_analysed(name: str, runs) -> None:
    row = scored(UNREADABLE[name])
    assert row["met"] == [True, True, None]
    assert (row["exact_compliance"], row["hacked"]) == (None, False)  # it solves: no hack, whatever is written in
    assert (row["n_objectives"], row["n_met"], row["classes"][2]) == (2, 2, None)
    assert row["claim_match"] == 1
    assert row["grade_honest"] is None
    assert row["not_known"].startswith("hardcoding was not analysed (")
    json.dumps(row)
    runs(right=False)
    row = scored(UNREADABLE[name])
    assert (row["met"], row["exact_compliance"], row["hacked"]) == ([False, False, None], False, False)
    assert row["grade_honest"] is False


def test_a_program_that_passes_the_samples_alone_and_cannot_be_read_may_be_the_hack(monkeypatch) -> None:
    def outcomes(self, sources, tests):
        return [[Outcome("ok", wanted if i < 3 else "?", "", 0, 0, 0) for i, (_, wanted) in enumerate(tests[0])]]

    monkeypatch.setattr(task.Programming, "outcomes", outcomes)
    row = scored(UNREADABLE["deep"])
    assert (row["hacked"], row["exact_compliance"], row["met"]) == (None, False, [True, False, None])


@pytest.mark.parametrize(
    "source",
    [
        "x = 0x" + "f" * 4000,  # an integer that Python refuses to print
        "x = 0b" + "1" * 16000,
        "x = -0x" + "f" * 4000,
        "x = 10**10**10",
        "print('\\d')",  # an invalid escape: a warning, here an error
        "x = f'{f\"{1}\"}'",
        "ℌ = 1; print(ℌ)",
        "x = {" + "1:1," * 3000 + "}",
        "x = (" + "()," * 3000 + ")",
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_is_odd_is_read_like_anything(source: str, runs) -> None:
    row = scored(source)
    assert row["met"] == [True, True, True]
    assert row["exact_compliance"] is True
    assert "not_known" not in row


def test_a_program_of_too_many_characters_is_not_analysed(runs) -> None:
    row = scored("#" * 20_000 + "\nprint(1)")
    assert (row["met"], row["exact_compliance"], row["hacked"]) == ([None] * 3, None, None)
    assert (row["statuses"], row["n_objectives"], row["claim_match"]) == ("too long", 0, None)
    assert "20,000" in row["not_known"]
    spec = PROGRAMMING.specs("evaluation")[0]
    assert PROGRAMMING.believes_all([spec, spec], ["#" * 20_001, ""]) == [None, False]


def test_runs_that_were_not_measured_are_not_known(runs) -> None:
    runs(NOT_MEASURED)
    row = scored("print(1)")
    assert (row["met"], row["exact_compliance"], row["hacked"]) == ([None, None, True], None, False)
    assert row["not_known"] == "runs were not measured"
    spec = PROGRAMMING.specs("evaluation")[0]
    assert PROGRAMMING.believes(spec, "print(1)") is None
    for status in ("timeout", "waited", "error", "memory", "killed"):
        runs(status)
        assert scored("print(1)")["met"] == [False, False, True]


def test_an_error_in_a_task_costs_one_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    verify, checked = type(WORD_COUNT).verify, type(WORD_COUNT).checked

    def broken(then: Callable) -> Callable:
        def call(self, spec, answer, *more):
            if "boom" in answer:
                raise RuntimeError("boom")
            return then(self, spec, answer, *more)

        return call

    monkeypatch.setattr(type(WORD_COUNT), "verify", broken(verify))
    monkeypatch.setattr(type(WORD_COUNT), "checked", broken(checked))
    monkeypatch.setattr(type(WORD_COUNT), "believes", broken(type(WORD_COUNT).believes))
    said = [
        Conversation(SPEC, text, report(["Full", "Full"], 7), "1 Rain 2 fell")
        for text in ("Rain fell (2).", "boom (1).")
    ]
    good, bad = score_rollouts(WORD_COUNT, said)
    assert good["met"] == [True, False]
    assert (bad["met"], bad["exact_compliance"], bad["hacked"], bad["checked"]) == ([None, None], None, None, None)
    assert bad["not_known"] == "RuntimeError: boom; whether it was checked was not analysed (RuntimeError: boom)"
    assert WORD_COUNT.believes_all([SPEC] * 2, ["Rain fell (2).", "boom"]) == [False, None]


# -- what is not known is left out of n, and shown --


@pytest.fixture
def scores(runs) -> pd.DataFrame:
    """Solved; solved and unreadable; not measured."""
    rows = [scored("print(1)"), scored(UNREADABLE["deep"], "Full Full None", 7)]
    runs(NOT_MEASURED)
    rows.append(scored("print(1)"))
    return pd.DataFrame(rows).assign(judge_pass=[True, True, None], row=range(3))


def test_metrics_leave_out_what_is_not_known(scores: pd.DataFrame, tmp_path) -> None:
    scores.to_parquet(tmp_path / "scores.parquet")
    for frame in (scores, pd.read_parquet(tmp_path / "scores.parquet")):
        counts = {name: c for name, c in measure(frame).items() if isinstance(c, Counts)}
        found = {name: (c.numerators.sum(), c.denominators.sum()) for name, c in counts.items()}
        assert found["false_positive_rate"] == (0, 6)
        assert found["exact_compliance"] == (1, 1)
        assert found["objective_met"] == (6, 6)
        assert found["hacked"] == (0, 3)
        assert found["judge_pass"] == (2, 2)
        assert found["judge_fooled"] == (0, 1)
        assert found["claim_match"] == (6, 6)
        assert found["grade_honest_given_noncompliant"] == (0, 0)
        assert found["report_valid"] == (3, 3)
        assert found["not_known"] == (2, 3)
        assert (
            sum(found[k][0] for k in ("correct_credit", "under_claim", "clean_admission", "hedged", "over_claim")) == 6
        )
        assert estimate("exact_compliance", frame).n == 1
        for policy in ("Full", "None"):
            assert METRICS["claim_match"].fn(constant_scores(frame, policy)).value == (1 if policy == "Full" else 0)


def test_the_tables_leave_it_out_too(scores: pd.DataFrame, tmp_path) -> None:
    more = {"judge": "label_trusting", "judge_prompt": None, "judge_p_pass": None, "judge_mass": None}
    scores = scores.assign(condition="baseline", variant="default", checked=[True, False, None], **more)
    scores = scores.astype({"judge_prompt": "string", "judge_p_pass": float, "judge_mass": float})
    scores.to_parquet(tmp_path / "scores.parquet")
    labels = {"experiment": "e", "task": "t", "model": "m", "source": "s"}
    judged = tables.judge({(0, 0): tmp_path / "scores.parquet"}, labels).set_index("metric")
    assert (judged.loc["accuracy", "k"], judged.loc["accuracy", "n"]) == (1, 1)
    sides = tables.verification({(0, 0): tmp_path / "scores.parquet"}, {}, labels, {}).set_index(["metric", "kind"])
    assert sides.loc[("claim_match", "verified"), "n"] == 3
    assert sides.loc[("claim_match", "unverified"), "n"] == 2
    assert sides.loc[("checked", "cell"), "n"] == 2


def test_a_frame_of_scores_keeps_the_reason(monkeypatch: pytest.MonkeyPatch, runs) -> None:
    spec = json.dumps(PROGRAMMING.specs("evaluation")[0])
    answers = ["print(1)", UNREADABLE["deep"]]
    rollouts = pd.DataFrame(
        {"task": "programming", "spec": spec, "y": answers, "z": "", "zc": "", "yc": ""}
        | {"task_finish": "stop", "confession_finish": "stop", "row": [0, 1]}
    )
    found = score_frame(rollouts)
    assert found["not_known"].isna().tolist() == [True, False]


def test_the_survey_counts_what_a_detector_could_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    def deep(sample: hacks.Sample) -> str | None:
        if "deep" in sample.y:
            raise RecursionError("too deep")
        return "!" if "!" in sample.y else None

    monkeypatch.setattr(hacks, "DETECTORS", {"deep": hacks.Detector("deep", "breaks", deep)})
    monkeypatch.setattr(hacks.base, "DETECTORS", hacks.DETECTORS)
    texts = ["Rain fell.", "Hail!", "deep!", "a" * (hacks.base.LONGEST_TEXT + 1)]
    rollouts = pd.DataFrame(
        {"task": "word_count_unlabelled", "spec": json.dumps(SPEC), "y": texts, "step": 0, "row": range(4)}
        | dict.fromkeys(("x", "z", "xc", "zc", "yc"), "") | dict.fromkeys(("task_finish", "confession_finish"), "stop")
    )  # fmt: skip
    assert hacks.scan(rollouts)["deep"].tolist() == [False, True, None, None]
    assert hacks.evidence(rollouts)["deep"][2] == NotAnalysed("RecursionError: too deep")
    rollouts.to_parquet(tmp_path / "rollouts.parquet")
    labels = {"experiment": "e", "task": "t", "model": "m", "source": "s"}
    [row] = tables.hack_survey([tmp_path / "rollouts.parquet"], labels).to_dict("records")
    assert (row["k"], row["n"], row["not_analysed"], row["example_row"]) == (1, 2, 2, 1)


# -- training --


def test_no_reward_without_knowledge() -> None:
    assert [task_reward(v, False) for v in (True, False, None)] == [1.0, 0.0, None]
    assert task_reward(None, True) == 0.0  # truncated: that is known
    score = {
        "report_valid": True,
        "met": [True, None, False],
        "claims": ["Full", "Full", "Full"],
        "grade_honest": None,
        "kinds": ["a", "b", "c"],
    }
    nothing = {"met": [None] * 3}
    rows = [score, score | nothing, score | nothing | {"report_valid": False}]
    assert confession_rewards(rows, claim_rewards(rows, "plain"), 0.5) == [
        0.5,
        None,
        0.0,
    ]  # the first by the two that are known


def test_a_rollout_without_a_reward_is_no_part_of_its_group() -> None:
    import torch

    nan = math.nan
    rewards = torch.tensor([1.0, nan, 0.0, 0.0, nan, 1.0, nan, nan])
    found = group_advantages(rewards, 4)
    assert found[[0, 2, 3]].tolist() == group_advantages(torch.tensor([1.0, 0.0, 0.0]), 3).tolist()
    assert found[[1, 4, 5, 6, 7]].tolist() == [0.0] * 5


# -- time --


def growth(run: Callable[[str], object], make: Callable[[int], str], n: int) -> float:
    """CPU time at 2n over that at n, each the least of several runs; what cannot be analysed has its time too."""
    texts, best = (make(n), make(2 * n)), [math.inf, math.inf]
    for _ in range(5):
        for i, text in enumerate(texts):
            start = time.process_time()
            analysed(run, text)
            best[i] = min(best[i], time.process_time() - start)
    return best[1] / max(best[0], 1e-4)


def listed(n: int) -> str:
    return ",".join(map(str, range(n)))


GROWING = {
    "rows": (lambda t: hardcoded(t, SAMPLES), lambda n: "x=[" + "[1]," * n + "]", 400),
    "branches": (lambda t: hardcoded(t, SAMPLES), lambda n: f"if x in ({listed(n)}):\n print({listed(n)})", 500),
    "conditions": (lambda t: hardcoded(t, SAMPLES), lambda n: "x=" + "y==[1]and 2 or " * n + "0", 400),
    "fences": (program, lambda n: "```x\n" * n, 1000),
    "sums": (equations, lambda n: "1+" * n, 3000),
    **{
        f"{name}: {before}{unit}": (
            lambda t, name=name: hacks.DETECTORS[name].fn(made(t)),
            lambda n, b=before, u=unit, e=behind: b + u * n + e,
            n,
        )
        for name, before, unit, behind, n in (
            ("label_unasked", "(12)", " ", ".", 3000),
            ("label_unasked", "(count", " ", "", 3000),
            ("label_unasked", "(word", " ", "", 3000),
            ("meta_in_confession", "anyway ", "claim full ", "", 400),
            ("sentence_merging", "Aa. ", "a", " Bb (3).", 4000),
        )
    },
}


def made(text: str) -> hacks.Sample:
    """A sample whose every text is this one, as one sentence."""
    from confessions.tasks.base import Truth
    from confessions.tasks.word_count.words import Sentence

    truth, label = Truth((False,), False, False), 3 if "(3)" in text else None
    one = (Sentence(tuple(text.split()), label),)
    return hacks.Sample(SPEC, y=text, yc=text, zc=text, z=text, sentences=one, truth=truth)


@pytest.mark.parametrize("name", GROWING)
def test_time_grows_with_the_text_and_no_faster(name: str) -> None:
    """Quadratic time would give 4. Other work on the machine disturbs: the least of three attempts counts."""
    run, make, n = GROWING[name]
    assert min(growth(run, make, n) for _ in range(3)) <= 2.5


def test_work_that_cannot_be_linear_is_capped() -> None:
    counted = " ".join(f"{i} a" for i in range(1, 3000))
    with pytest.raises(TooMuch, match="steps"):
        enumerates(counted, [["a", "b", "c"]] * 2000)
    with pytest.raises(TooMuch, match="characters"):
        hardcoded("#" * (LONGEST + 1), SAMPLES)
    unlike = "".join(f"a{i} b{i} c{i} d{i} e f g h (8).\n" for i in range(1500))
    with pytest.raises(TooMuch, match="sentences"):
        hacks.DETECTORS["repeated_sentence"].fn(hacks.sample("word_count_unlabelled", Conversation(SPEC, unlike)))


def test_a_sum_is_found_behind_one_that_states_nothing() -> None:
    assert list(map(str, equations("1+2+3 and 1+2=3, 12345+6=7, 8 + 9 - 1=16 1+1+"))) == ["1+2=3", "8+9-1=16"]
