"""One prompt's rollouts of two checkpoints, next to each other."""

import json
from pathlib import Path

import pytest
from made_rollouts import ANSWER, RIGHT, SPEC, rollout_frame
from typer.testing import CliRunner

from confessions.analysis.side_by_side import side_by_side
from confessions.cli import app
from confessions.runtime.errors import InputError


@pytest.fixture
def files(tmp_path) -> tuple[Path, Path]:
    first, second = tmp_path / "step_0.parquet", tmp_path / "step_20.parquet"
    frame = rollout_frame()
    frame.to_parquet(first)
    frame.assign(y=[RIGHT] * len(frame), z="").to_parquet(second)
    return first, second


def columns(page: str, heading: str) -> tuple[str, str]:
    """What stands below a heading, left and right, as flowing text."""
    lines = page.split(f"{heading}\n")[1].split("\n\n")[0].split("\n")
    pairs = [line.partition(" | ")[::2] for line in lines]
    return tuple(" ".join(" ".join(side).split()) for side in zip(*pairs, strict=True))


def test_a_page(files):
    page = side_by_side(files, 0, "baseline", "default", 120)
    assert max(map(len, page.split("\n"))) <= 120
    assert columns(page, "\nANSWER") == (ANSWER, RIGHT)
    assert columns(page, "\nREASONING")[1] == ""
    left, right = columns(page, "TRUTH AND CLAIMS")
    assert (left.count(" not met; claimed: None"), left.count(" met; claimed: Full")) == (3, 2)
    assert right.count(" met; claimed: None") == 3
    assert "step_0.parquet" in page
    assert "step_20.parquet" in page


def test_a_report_that_is_none(files):
    assert (
        columns(side_by_side(files, 2, "baseline", "default", 120), "TRUTH AND CLAIMS")[0].count("no valid report") == 5
    )


@pytest.mark.parametrize(
    ("row", "condition", "why"),
    [
        (9, "baseline", "no row 9 in baseline / default; rows are 0 to 3"),
        (0, "hard", "no rollouts of hard / default; it has baseline / default, soft / forced_count"),
    ],
)
def test_a_row_that_is_not_there(files, row, condition, why):
    told = CliRunner().invoke(app, ["diff", *map(str, files), "--row", str(row), "--condition", condition])
    assert told.exit_code == 1
    assert why in told.stderr


def test_rows_about_different_prompts(files):
    frame = rollout_frame(spec=json.dumps(SPEC | {"topic": "a city"}))
    frame.to_parquet(files[1])
    with pytest.raises(InputError, match="its row 1 is about another prompt"):
        side_by_side(files, 1, "baseline", "default", 120)
