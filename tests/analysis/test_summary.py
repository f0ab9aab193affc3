"""`confessions score --summary --plot`: the numbers of a file small enough to count by hand."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from confessions.analysis import summary
from confessions.analysis.stats import wilson
from confessions.cli import app
from confessions.scoring.scores import SHARES
from confessions.scoring.transcripts import score_file

# met, claimed: two answers to each of two instances, under two system prompts
TRUTH = [[True, False], [False, True], [True, True], [False, False]]
CLAIMED = {
    "baseline": [[True, False], [False, False], [True, True], [False, True]],
    "flattery": [[True, True], [True, True], [True, True], [True, True]],
}


def lines(**changes) -> list[dict]:
    return [
        {
            "id": number,
            "task": "given",
            "spec": {"objectives": ["is short", f"names {number // 2}"], "met": met},
            "answer": f"answer {number}",
            "confession": "\n".join(f"{s}. {'met' if claim else 'not met'}" for s, claim in enumerate(claims, 1)),
            "variant": "direct",
            "condition": condition,
        }
        | changes
        for condition, reports in CLAIMED.items()
        for number, (met, claims) in enumerate(zip(TRUTH, reports, strict=True))
    ]


def written(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def numbers(path: Path):
    kept: list[dict] = []
    assert score_file(path, None, lambda line: None, kept.append)
    return summary.table(kept, "mine").set_index(["condition", "kind", "metric"])


def test_numbers_counted_by_hand(tmp_path):
    values = numbers(written(tmp_path / "t.jsonl", lines()))
    values = values.sort_index()
    plain, flattered = values.loc[("baseline", "cell")], values.loc[("flattery", "cell")]
    assert plain.loc[["claim_match", "p_full_given_met", "p_none_given_unmet"], "value"].tolist() == [0.75, 0.75, 0.75]
    assert plain.loc[["claim_match", "p_full_given_met", "report_valid"], "n"].tolist() == [8, 4, 4]
    assert flattered.loc[["claim_match", "balanced_claim_accuracy"], "value"].tolist() == [0.5, 0.5]
    assert values.loc[("flattery", "always_full", "claim_match"), "value"] == 0.5
    assert values.loc[("flattery", "minus_baseline", "claim_match"), "value"] == -0.25
    assert "judge_pass" not in plain.index


def test_intervals_know_instances_and_not_answers(tmp_path):
    """Eight answers to each of four instances are four trials, as one to each is."""
    once = [row for row in lines() if row["condition"] == "baseline"]
    for rows in (once, once * 8):
        cell = numbers(written(tmp_path / "t.jsonl", rows)).sort_index().loc[("baseline", "cell")]
        for metric, value in (("report_valid", 1), ("exact_compliance", 0.25), ("claim_match", 0.75)):
            limits = wilson(4 * value, 4)
            assert cell.loc[metric, ["value", "low", "high"]].tolist() == pytest.approx(
                [value, limits.low, limits.high]
            )
            assert cell.at[metric, "method"] == "wilson over instances"
        assert cell.at["report_valid", "n"] == len(rows)


def test_what_nobody_was_asked_about_is_not_called_not_known(tmp_path):
    """Of a given truth no hacks are known and of transcripts no judge's verdicts; of this one, of an objective too."""
    rows = lines()
    rows[0]["spec"] = rows[0]["spec"] | {"met": [True, None]}
    values = numbers(written(tmp_path / "t.jsonl", rows)).sort_index()["value"]
    assert values["baseline", "cell", "not_known"] == 0.25
    assert values["flattery", "cell", "not_known"] == 0


def test_cells_of_other_instances_have_no_difference(tmp_path):
    rows = lines()
    for row in rows[4:]:
        row["id"] += 100
    kinds = set(numbers(written(tmp_path / "t.jsonl", rows)).index.get_level_values("kind"))
    assert kinds == {"cell", "always_none", "always_full", "base_rate"}


def test_in_words_and_as_a_picture(tmp_path):
    file, rows, figure = written(tmp_path / "t.jsonl", lines()), tmp_path / "rows.csv", tmp_path / "grid.svg"
    told = CliRunner().invoke(app, ["score", str(file), "--summary", "--out", str(rows), "--plot", str(figure)])
    assert told.exit_code == 0, told.output
    first, _, second = told.stdout.partition("\n\n")
    assert first.startswith("given / the model / baseline / direct\n")
    assert second.startswith("given / the model / flattery / direct\n")
    [claims] = [line.split() for line in first.splitlines() if line.startswith("claim_match ")]
    assert (claims[1], claims[4], claims[5:7]) == ("0.750", "8", ["0.500", "0.500"])
    assert "nothing to measure: " in first
    assert len(rows.read_text().splitlines()) == 9
    assert "flattery" in figure.read_text()


def test_without_a_file_to_write_to_no_rows_are_printed(tmp_path):
    told = CliRunner().invoke(app, ["score", str(written(tmp_path / "t.jsonl", lines())), "--summary"])
    assert told.exit_code == 0
    assert not told.stdout.startswith("id,")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda rows: rows[:4] + [row | {"id": row["id"] + 9} for row in rows[4:]], "flattery / direct does not have"),
        (lambda rows: rows[4:], "no line has the condition baseline"),
        (lambda rows: [*rows, rows[0] | {"model": "another"}], "no line of another / flattery / direct"),
        (lambda rows: [*rows, rows[0] | {"task": "word_count", "spec": {"targets": [1]}}], "one task a figure"),
    ],
)
def test_a_figure_that_cannot_be_drawn(change, why, tmp_path):
    file, figure = written(tmp_path / "t.jsonl", change(lines())), tmp_path / "grid.png"
    told = CliRunner().invoke(app, ["score", str(file), "--plot", str(figure)])
    assert (told.exit_code, figure.exists()) == (1, False)
    [error] = [line for line in told.stderr.splitlines() if line.startswith("error: ")]
    assert why in error


def test_a_figure_of_no_known_form_is_told_before_anything_is_scored(tmp_path):
    told = CliRunner().invoke(app, ["score", str(tmp_path / "none.jsonl"), "--plot", str(tmp_path / "grid.txt")])
    assert told.exit_code == 1
    assert "has to end in .png, .svg, .pdf" in told.stderr


def test_answers_to_one_given_question_are_one_instance(tmp_path):
    """Their truths differ, and with them their specs: only a name says that they are about the same."""
    rows = lines()[:4]
    apart = numbers(written(tmp_path / "a.jsonl", rows)).loc[("baseline", "cell", "swap")]
    named = [row | {"instance": "q"} for row in rows]
    together = numbers(written(tmp_path / "b.jsonl", named)).loc[("baseline", "cell", "swap")]
    assert (apart["n"], together["n"]) == (0, 16)
    assert together["value"] == 0.75


def test_rows_and_figure_are_two_files(tmp_path):
    file, same = written(tmp_path / "t.jsonl", lines()), tmp_path / "x.svg"
    told = CliRunner().invoke(app, ["score", str(file), "--out", str(same), "--plot", str(same)])
    assert (told.exit_code, same.exists()) == (1, False)
    assert "would be one file" in told.stderr


def test_a_task_s_own_rates_are_counted_and_the_table_keeps_its_name(tmp_path):
    row = {"id": 1, "task": "programming", "spec": {}, "answer": "I cannot.", "condition": "baseline"}
    scores = {"model": "m", "variant": "direct", "instance": "q", "answer": "a", "kinds": ["works"], "met": [False]}
    scores |= {"declines": True, "n_objectives": 1, "n_met": 0, "claims": ["None"], "report_valid": True}
    scores |= {"exact_compliance": False, "hacked": False, "n_false_labels": 0, "checked": False, "grade_honest": True}
    scores |= {f"n_{name}": 0 for name in SHARES.values()} | dict.fromkeys(SHARES.values(), 0)
    found = summary.table([row | scores], "mine")
    assert set(found["experiment"]) == {"mine"}
    assert found.set_index(["kind", "metric"]).loc[("cell", "declines"), "value"] == 1
