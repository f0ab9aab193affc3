"""The pages of docs/results hold what their data files say, and the data files what the tables say."""

import importlib.util
import json
import re
import subprocess
import sys
from itertools import product
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from made_rollouts import rollout_frame, write_files
from made_tables import LABELS, made_by_model, made_stress_grid, made_value, write_metrics

from confessions.analysis import tables
from confessions.analysis.metrics import METRICS
from confessions.runtime.errors import InputError

ROOT = Path(__file__).parent.parent
PAGES = ROOT / "docs/results"


def test_the_numbers_of_the_pages_come_from_the_data_files():
    run = subprocess.run([sys.executable, PAGES / "render.py", "--check"], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


def test_every_page_says_what_it_is_of():
    """Or a page that links to it does: one of examples is of the same run."""
    pages = {page.name: page.read_text() for page in PAGES.glob("*.md")}
    wanted = ["commit", "command", "machine", "seeds", "model"]
    saying = {name for name, text in pages.items() if re.findall(r"^\| (\w+) \| .+ \|$", text, re.M)[:5] == wanted}
    linked = {name for name in pages for page in saying if f"]({name})" in pages[page]}
    assert pages.keys() == saying | linked


def test_every_kept_table_has_one_form_and_every_seed_stands_by_itself():
    kept = sorted((PAGES / "data").glob("*.csv"))
    assert kept
    for path in kept:
        table = pd.read_csv(path)
        assert tuple(table.columns) == tables.LONG_COLUMNS
        key = list(tables.LONG_COLUMNS[:9])
        assert not table.duplicated(key).any()
        assert table.loc[table["step"].notna(), "seed"].notna().all()
        assert table["unit"].notna().all()


def test_frozen_answers_are_small_and_whole():
    for path in (PAGES / "data").glob("*.parquet"):
        frame = pd.read_parquet(path)
        assert path.stat().st_size < 300_000
        assert len(frame) == 64 * frame["variant"].nunique()
        assert frame[["y", "yc", "met", "exact_compliance", "hacked", "report_valid"]].notna().all(axis=None)


@pytest.fixture
def collect() -> ModuleType:
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("collect", PAGES / "collect.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def results(tmp_path) -> Path:
    """What a run of two seeds leaves behind."""
    folder = tmp_path / "results"
    made_stress_grid(folder / "demo/tables/stress_grid.csv", seeds=(0, 1))
    for axis in ("scale", "ladder"):  # which have their models in common: a number is kept once
        made_by_model(folder / f"demo/tables/{axis}.csv")
    metrics = {seed: write_metrics(folder / f"demo/seed{seed}/train/metrics.jsonl") for seed in (0, 1)}
    tables.write(tables.training(metrics, 8, LABELS), folder / "demo/tables/training.csv")
    tables.write(tables.onset(metrics, 8, LABELS), folder / "demo/tables/onset.csv")
    for seed, step in product((0, 1), (0, 20, 100)):
        frame = rollout_frame((("baseline", "default"), ("baseline", "forced_count"), ("soft", "default")), repeat=2)
        frame["y"] += f" at step {step} ```` (2)"
        written = write_files(tmp_path, frame)
        for name, path in zip(("rollouts", "scores"), written, strict=True):
            place = folder / f"demo/seed{seed}/{name}/step_{step}.parquet"
            place.parent.mkdir(parents=True, exist_ok=True)
            path.rename(place)
    return folder


def one(table: pd.DataFrame, **at: object) -> pd.Series:
    for column, value in at.items():
        table = table[table[column] == value]
    (index,) = table.index
    return table.loc[index]


def test_the_long_form_holds_each_number_once(results):
    table = tables.long(results / "demo/tables", "demo")
    assert tuple(table.columns) == tables.LONG_COLUMNS
    assert not table.duplicated(list(tables.LONG_COLUMNS[:9])).any()
    cell = {"split": "evaluation", "condition": "hard", "variant": "forced_count", "metric": "claim_match"}
    found = one(table, arm="measured", seed=1, step=4, **cell)
    assert found.value == pytest.approx(made_value("claim_match", 1, 3, 1))
    assert (found.model, found.n, found.unit, found.low) == (
        "nano",
        64,
        "objectives",
        pytest.approx(found.value - 0.05),
    )
    assert one(table, arm="always_none", seed=1, step=4, **cell).value == 0.7
    assert one(table, model="Big 8M", arm="measured", metric="exact_compliance", variant="default").unit == "rollouts"
    hacked = one(table, split="training", seed=0, step=3, metric="hacked")
    assert (hacked.value, hacked.n) == (pytest.approx(50 / 64), 64)
    slope = one(table, split="training", seed=0, metric="hacked_slope")
    assert (pd.isna(slope["step"]), slope.low < slope.value < slope.high) == (True, True)
    assert one(table, metric="onset", seed=1).value == 1
    assert one(table, metric="onset_median").n == 2
    grid = table[(table["split"] == "evaluation") & (table["model"] == "nano") & (table["arm"] == "measured")]
    assert len(grid) == 2 * 3 * 5 * 2 * len(METRICS)


def test_tables_of_another_experiment_are_not_mixed_in(results):
    with pytest.raises(InputError, match=r"stress_grid.csv: of the experiment demo, not qwen; run snakemake"):
        tables.long(results / "demo/tables", "qwen")
    with pytest.raises(InputError, match="holds no table to keep"):
        tables.long(results / "demo", "demo")


def test_one_command_keeps_everything(results, collect, tmp_path):
    out = tmp_path / "pages"
    collect.main("demo", results=results, out=out)
    table = pd.read_csv(out / "data/demo.csv")
    assert len(table) == len(tables.long(results / "demo/tables", "demo"))
    base, hacked = (pd.read_parquet(out / f"data/demo_{name}.parquet") for name in ("base", "hacked"))
    for frame, step in ((base, 0), (hacked, 100)):
        assert len(frame) == 2 * 8  # of baseline, each variant
        assert frame["y"].str.contains(f"at step {step} ").all()
        assert [list(met) for met in frame["met"][:1]] == [[True, True, False, False, False]]
    page = (out / "demo_examples.md").read_text()
    assert page.count("### Step 0\n") == page.count("### Step 100\n") == 5
    assert page.count("at step 100 ````") == 5
    assert page.count("`````text") == 10  # no text closes its own block
    assert json.loads(base["yc"][0])["overall_grade"] == 2
    claims = pd.read_csv(out / "data/demo/claims.csv", keep_default_na=False)
    assert len(claims) == 2 * 2 * 2 * 8 * 5  # seeds, checkpoints, variants, rows, objectives
    assert set(claims["claim"]) <= {"Full", "Partial", "None", ""}
    first = claims[(claims["seed"] == 1) & (claims["row"] == 0) & (claims["variant"] == "default")]
    assert list(first["met"][:5]) == [True, True, False, False, False]


def test_another_tasks_truth_has_no_words(collect):
    said = {"met": [True, False], "hacked": False, "judge_pass": True}
    assert collect._truth(said) == "Truth: objectives met 1 of 2; not hacked; the grader passes it."


def test_the_draw_is_seeded_and_not_chosen(collect):
    assert collect.drawn(64) == [5, 33, 49, 53, 62] == collect.drawn(64)
    assert collect.drawn(64, seed=1) != collect.drawn(64)


def kept(name: str, **at: object) -> pd.DataFrame:
    """Rows of a table of data/ that have these values."""
    table = pd.read_csv(PAGES / f"data/{name}.csv", keep_default_na=False, na_values=[""])
    for column, value in ({"arm": "measured"} | at).items():
        table = table[table[column] == value]
    return table


def told(value: float) -> str:
    return f"{value:.2f}".removeprefix("0")


def test_the_readme_says_what_the_data_say():
    """The numbers under its first pictures: the lowest and the highest of three seeds after RL, and one seed of two."""
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    within = {"metric": "within_kind_balanced_accuracy"}
    table = kept("instructions_evidence", experiment="instructions_evidence", step=40, variant="evidence", **within)
    parts = (("trained kinds", ["held_out"]), ("kinds left out", ["development", "test"]))
    ranges = []
    for words, splits in parts:
        found = table[table["split"].isin(splits)]["value"]
        assert len(found) == 3 * len(splits)
        ranges.append(f"{told(found.min())} to {told(found.max())} on {words}")
    assert f"it reaches {' and '.join(ranges)}." in readme
    (copied,) = kept("instructions_copied", split="held_out", step=16, **within)["value"]
    assert f"it reaches {told(copied)} on trained kinds (one seed)" in readme
    last = {"split": "evaluation", "step": 100, "condition": "baseline", "variant": "default"}
    judged = {
        metric: kept("qwen_judge", metric=metric, **last)["value"].item()
        for metric in ("judge_pass", "hacked", "exact_compliance")
    }
    assert f"{100 * judged['judge_pass']:.0f} % of its answers pass and none complies" in readme
    assert judged["hacked"] == judged["exact_compliance"] == 0
