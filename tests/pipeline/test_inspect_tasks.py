"""The tasks in Inspect: what a model is asked there, what it gets for its answers, and that its log is read here."""

import json
from pathlib import Path

import pytest
from machine import needs_inspect

from confessions import prompts, tasks
from confessions.runtime.errors import InputError
from confessions.scoring.transcripts import score_file

TASK = tasks.get("word_count")


def report(claims: list[str], grade: int) -> str:
    objectives = [{"objective": f"Sentence {s}", "compliance": c, "analysis": ""} for s, c in enumerate(claims, 1)]
    return json.dumps({"objectives": objectives, "uncertainties": [], "overall_grade": grade})


def said(spec: dict, right: int) -> str:
    """An answer whose first `right` sentences have as many words as asked, and whose others have one too many."""
    lengths = [n + (s >= right) for s, n in enumerate(spec["targets"])]
    return " ".join(f"{' '.join(['Word', *['word'] * (n - 1)])} ({n})." for n in lengths)


def model(texts: list[str]):
    """One that says these, in order."""
    from inspect_ai.model import ModelOutput, ModelUsage, get_model

    outputs = [ModelOutput.from_content("mockllm", text) for text in texts]
    for output in outputs:
        output.usage = ModelUsage()  # else Inspect counts tokens with a vocabulary from the network
    return get_model("mockllm/model", custom_outputs=outputs)


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    needs_inspect()
    from inspect_ai import eval

    from confessions.pipeline.inspect_tasks import made

    n = len(TASK.specs("evaluation")[0]["targets"])
    outputs = []
    for spec, right in zip(TASK.specs("evaluation")[:4], (0, 1, n, n), strict=True):
        outputs += [said(spec, right), report(["Full"] + ["None"] * (n - 1), 2)]
    [done] = eval(
        made("word_count", "soft", "default", 4),
        model=model(outputs),
        log_dir=str(tmp_path_factory.mktemp("logs")),
        display="none",
        max_samples=1,
    )
    assert done.status == "success", done.error
    return done


def test_what_is_asked(log):
    spec, sample = TASK.specs("evaluation")[1], log.samples[1]
    assert [message.role for message in sample.messages] == ["system", "user", "assistant", "user", "assistant"]
    system, asked, _, request, _ = (message.text for message in sample.messages)
    assert (system, asked) == (prompts.system_prompt("soft"), TASK.prompt(spec))
    assert request == TASK.request(spec, "default")


def test_metrics_with_rivals(log):
    found = {name: metric.value for name, metric in log.results.scores[0].metrics.items()}
    n = len(TASK.specs("evaluation")[0]["targets"])
    right = (n - 1) + n + 1 + 1  # of the claims "Full, None, None, ..." about 0, 1, n and n sentences met
    assert found["claim_match"] == pytest.approx(right / (4 * n))
    assert found["claim_match_low"] < found["claim_match"] < found["claim_match_high"]
    assert found["objective_met"] == pytest.approx((1 + 2 * n) / (4 * n))
    assert found["exact_compliance"] == 0.5
    assert found["claim_match_always_full"] == pytest.approx((1 + 2 * n) / (4 * n))
    assert found["balanced_claim_accuracy_always_none"] == 0.5
    assert "claim_match_base_rate" in found
    assert [sample.scores["honesty"].value for sample in log.samples] == [(n - 1) / n, 1, 1 / n, 1 / n]


def test_its_log_is_scored_here_too(log):
    kept: list[dict] = []
    assert score_file(Path(log.location.removeprefix("file://")), None, lambda text: None, kept.append)
    own = [sample.scores["honesty"].metadata for sample in log.samples]
    for mine, theirs in zip(kept, own, strict=True):
        assert mine == {**theirs, "model": mine["model"]}
    assert {row["condition"] for row in kept} == {"soft"}


def test_names_that_are_none():
    needs_inspect()
    from confessions.pipeline.inspect_tasks import made

    for name, condition, variant, why in (
        ("word_cuont", "soft", "default", "did you mean 'word_count'"),
        ("word_count", "sotf", "default", "sotf"),
        ("word_count", "soft", "defualt", "defualt"),
    ):
        with pytest.raises(InputError, match=why):
            made(name, condition, variant, 2)


def test_inspect_finds_them_by_name(tmp_path):
    needs_inspect()
    from inspect_ai import eval
    from inspect_ai._util.registry import registry_info

    from confessions.pipeline import inspect_tasks

    if not registry_info(inspect_tasks.word_count).name.startswith("confessions/"):
        pytest.skip("the package is imported from another place than it is installed in, so Inspect takes it for none")
    [done] = eval(
        "confessions/word_count",
        model=model(["no sentence", "no report"]),
        task_args={"condition": "jailbreak", "variant": "forced_count", "rollouts": 1},
        log_dir=str(tmp_path),
        display="none",
    )
    assert done.status == "success", done.error
    [sample] = done.samples
    assert [sample.metadata[name] for name in ("task", "condition", "variant")] == [
        "word_count", "jailbreak", "forced_count",
    ]  # fmt: skip
    assert sample.scores["honesty"].value == 0
