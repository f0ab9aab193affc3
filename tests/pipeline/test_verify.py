"""Exact findings on a small tree of results: model -> rollouts of two steps -> scores -> table."""

import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from confessions.cli import app
from confessions.config import load
from confessions.pipeline import paths, specs
from confessions.pipeline.verify import verify
from confessions.runtime import provenance
from confessions.runtime.errors import InputError
from confessions.tasks.base import VIEWS

ROOT = Path(__file__).parents[2]
MODEL = "results/models/nano/config.json"
ROLLOUTS = [f"results/demo/seed0/rollouts/step_{step}.parquet" for step in (0, 5)]
SCORES = [f"results/demo/seed0/scores/step_{step}.parquet" for step in (0, 5)]
TABLE = "results/demo/tables/power.csv"
REVISION = "c0ffee"


def write(name: str, text: str = "as made") -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{name}: {text}")
    return path


def make_model(text: str = "as made") -> None:
    job = provenance.begin("build-model", specs.model_spec(load(ROOT / "config.yaml"), "nano").dump())
    write(MODEL, text)
    job.publish(Path("results/models"), {Path("results/models/nano"): []}, "nano")


def make(stage: str, outs: list[str], sources: list[list[str]], text: str = "as made", experiment=None) -> None:
    job = provenance.begin(stage, {}, [Path(name) for names in sources for name in names], experiment=experiment)
    job.publish_all({write(out, text): list(map(Path, names)) for out, names in zip(outs, sources, strict=True)})


@pytest.fixture
def results(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(provenance, "revision", lambda: REVISION)
    make_model()
    make("rollout", ROLLOUTS, [["results/models/nano"]] * 2)
    make("score", SCORES, [[name] for name in ROLLOUTS])
    make("tabulate_power", [TABLE], [SCORES], experiment="demo")
    write("results/demo/seed0/logs/train.log")
    write("results/demo/seed0/work/state")
    write("results/demo/benchmarks/train_seed0.tsv")
    write("results/report.html")
    return Path("results")


def found(folder: Path, config=None) -> list[str]:
    return [str(finding) for finding in verify(folder, config).findings]


def test_what_is_as_it_was_made(results, tmp_path):
    verdict = verify(results)
    assert verdict.findings == []
    assert verdict.summary() == "6 files, 4 records: all as they were made; made at revision c0ffee (4)"
    shutil.move(results, tmp_path / "elsewhere")
    assert found(tmp_path / "elsewhere") == []


def test_an_altered_file_and_what_was_made_from_it(results):
    """The scores of the other step are as good as before."""
    write(ROLLOUTS[1], "as made!")
    size = len(f"{ROLLOUTS[1]}: as made")
    assert found(results) == [
        f"altered    {ROLLOUTS[1]}: not the bytes that rollout wrote at {REVISION} ({size} bytes then, {size + 1} now)",
        f"stale      {SCORES[1]}: made from another {ROLLOUTS[1]}",
        f"stale      {TABLE} (demo): made from {SCORES[1]}, which is stale",
    ]


def test_stale_after_an_earlier_stage_was_run_again(results):
    make_model("made again")
    assert found(results) == [
        f"stale      {ROLLOUTS[0]}: made from another {MODEL}",
        f"stale      {ROLLOUTS[1]}: made from another {MODEL}",
        f"stale      {SCORES[0]}: made from {ROLLOUTS[0]}, which is stale",
        f"stale      {SCORES[1]}: made from {ROLLOUTS[1]}, which is stale",
        f"stale      {TABLE} (demo): made from {SCORES[0]}, which is stale",
    ]
    make_model()  # the same bytes again: nothing has changed
    assert found(results) == []


def test_made_from_a_file_that_was_altered_before(results):
    """The record of the scores fits, but what they were made from is not what was sampled."""
    write(ROLLOUTS[0], "by hand")
    make("score", SCORES, [[name] for name in ROLLOUTS])
    lines = found(results)
    assert [line.split(":")[0] for line in lines] == [
        f"altered    {ROLLOUTS[0]}", f"stale      {SCORES[0]}", f"stale      {TABLE} (demo)"
    ]  # fmt: skip
    assert lines[1].endswith(f"made from {ROLLOUTS[0]}, which is altered")


def test_missing_files(results):
    Path(SCORES[0]).unlink()
    Path(SCORES[1]).unlink()
    assert found(results) == [
        f"missing    {SCORES[0]}: score wrote it at {REVISION}, and it is gone",
        f"missing    {SCORES[1]}: score wrote it at {REVISION}, and it is gone",
        f"stale      {TABLE} (demo): {SCORES[0]}, which it was made from, is gone (and 1 more)",
    ]


def test_a_folder_without_a_record_and_left_over_files(results, tmp_path):
    shutil.rmtree("results/demo/tables/provenance")
    write("results/demo/seed0/scores/step_10.parquet")
    write("results/demo/seed0/scores/step_15.parquet")
    write("elsewhere/config.json")
    Path("results/models/linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    fix = "delete what is left over, or make it again"
    assert found(results) == [
        f"unrecorded results/demo/seed0/scores: no record names step_10.parquet and 1 more; {fix}",
        f"unrecorded results/demo/tables: no record names power.csv; {fix}",
        f"unrecorded results/models: no record names linked; {fix}",
    ]


def test_the_view_of_an_experiment_needs_no_record(results, tmp_path):
    """What it shows is looked at where it lies; a file of its own among its links is none of an experiment."""
    view = Path("results/tables/power.csv")
    view.parent.mkdir()
    view.symlink_to("../demo/tables/power.csv")
    write("results/demo/logs/a.log")
    Path("results/logs").symlink_to("demo/logs")
    assert found(results) == found(tmp_path / "results") == []
    write(TABLE, "by hand")
    assert [line.split(":")[0] for line in found(results)] == [f"altered    {TABLE} (demo)"]
    view.unlink()
    write(str(view))
    assert f"unrecorded {view.parent}: no record names power.csv" in found(results)[1]


def test_a_linked_model_is_held_to_its_record(results):
    shutil.move("results/models/nano", "elsewhere")
    Path("results/models/nano").symlink_to(Path("elsewhere").resolve(), target_is_directory=True)
    assert found(results) == []


def test_a_malformed_record(results):
    """What it was about has no record then."""
    record = Path("results/demo/tables/provenance/tabulate_power.json")
    record.write_text(record.read_text()[:-30])
    lines = found(results)
    assert [line.split(":")[0] for line in lines] == [f"malformed  {record}", "unrecorded results/demo/tables"][::-1]
    assert "not a provenance record (Invalid JSON" in lines[1]


def test_settings_that_have_changed_since(results):
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    record = Path("results/models/provenance/nano.json")
    assert found(record.parents[1], load(config)) == []
    config["models"]["nano"]["source"]["size"] = "s"
    assert len(found(record.parents[1].resolve(), load(config))) == 1
    assert found(record.parents[1], load(config)) == [
        f"stale      {MODEL}: made with source.size = 'm', the configuration has 's'"
    ]


def test_seeded_models_are_held_to_the_settings(results):
    """The model, the rollouts of each view and the scores."""
    data = yaml.safe_load((ROOT / "config.yaml").read_text()) | {"experiment": "programming"}
    config = load(data)
    key = config.seeded[0]
    model, arms = (
        Path(paths.model_folder(key)),
        [Path(paths.seeded_rollout_file(config, key, view)) for view in VIEWS],
    )
    for out, stage, block, name in (
        (model / "config.json", "post-train", specs.model_spec(config, key), key),
        *((arm, "rollout", specs.rollout_spec(config, key), arm.stem) for arm in arms),
        (arms[0].with_name("intact_scores.parquet"), "score", specs.score_spec(config), "score"),
    ):
        job = provenance.begin(stage, block.dump())
        write(out)
        folder = model.parent if stage == "post-train" else out.parent
        job.publish(folder, {model if stage == "post-train" else out: []}, name)
    places = [results / "models", results / "programming"]
    assert [line for place in places for line in found(place, config)] == []
    data["experiments"]["programming"]["evaluation"]["seed"] = 7
    data["experiments"]["programming"]["seeding"]["examples"] = 32
    data["experiments"]["programming"]["judge"] = {"kind": "llm", "model": "smollm2"}
    stale = [line.split(":")[0].split()[1] for place in places for line in found(place, load(data))]
    assert sorted(stale) == sorted(map(str, [model / "config.json", *arms, arms[0].with_name("intact_scores.parquet")]))


def test_from_anywhere_and_by_any_path(results, tmp_path, monkeypatch):
    """Settings are compared with the config.yaml beside the results, wherever the command is given."""
    Path("config.yaml").write_text((ROOT / "config.yaml").read_text().replace("{kind: nano}", "{kind: nano, size: s}"))
    said = "made with source.size = 'm', the configuration has 's'"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path, target_is_directory=True)
    for cwd, folder in (
        (".", "results"),
        (".", "results/models"),
        (".", str(results.absolute())),
        ("elsewhere", "../results"),
        ("elsewhere", str(results.absolute())),
        ("elsewhere", str(tmp_path / "linked/results")),
        ("results", "."),
        ("results/models", ".."),
    ):
        monkeypatch.chdir(tmp_path / cwd)
        lines = run(folder).stdout.splitlines()
        assert len([line for line in lines if said in line]) == 1, (cwd, folder)
        monkeypatch.chdir(tmp_path)
    shutil.move("results", "archive")
    assert run("archive", "--config", "config.yaml").stdout.count(said) == 1


def test_a_record_with_absolute_names(results, tmp_path):
    """As one that a stage was given such paths for."""
    out, source = tmp_path / "results/demo/x/out", tmp_path / "given"
    source.write_text("")
    make("stage", [str(out)], [[str(source)]])
    record = Path("results/demo/x/provenance/stage.json")
    text = record.read_text().replace('"out"', f'"{out}"').replace('"../../../given"', f'"{source}"')
    record.write_text(text)
    assert found(results.absolute()) == []
    source.write_text("other")
    assert found(results.absolute()) == [f"stale      {out}: made from another {source}"]


def test_rollouts_are_held_to_the_settings_of_their_own_record(results):
    """One a file, as the stage writes it, whatever job made it."""
    data = yaml.safe_load((ROOT / "config.yaml").read_text())
    config, out = load(data), Path("results/demo/seed0/rollouts/step_10.parquet")
    job = provenance.begin("rollout", specs.rollout_spec(config, "nano").dump())
    write(out)
    job.publish(out.parent, {out: []}, out.stem)
    assert found(results / "demo/seed0/rollouts", config) == []
    data["experiments"]["demo"]["evaluation"]["shards"] = 2
    assert found(results / "demo/seed0/rollouts", load(data)) == []
    data["experiments"]["demo"]["evaluation"]["seed"] = 7
    assert found(results / "demo/seed0/rollouts", load(data)) == [
        f"stale      {out}: made with evaluation.seed = 1000, the configuration has 7"
    ]


def test_no_results_at_all(results):
    with pytest.raises(InputError, match="gone: no such folder"):
        verify(Path("gone"))
    with pytest.raises(InputError, match="logs: no provenance record here"):
        verify(results / "demo/seed0/logs")


def run(*words: str):
    return CliRunner().invoke(app, ["verify", *words])


def test_the_command(results):
    clean = run()
    assert (clean.exit_code, clean.stdout) == (0, "")
    assert clean.stderr.splitlines()[-1] == (
        "6 files, 4 records: all as they were made; made at revision c0ffee (4); "
        "settings not compared: no config.yaml here"
    )
    write(TABLE, "by hand")
    altered = run("results")
    assert altered.exit_code == 1
    assert altered.stdout.startswith(f"altered    {TABLE} (demo): not the bytes that tabulate_power wrote")
    assert len(altered.stdout.splitlines()) == 1
    assert "6 files, 4 records: 1 altered; made" in altered.stderr
    none = run("gone")
    assert (none.exit_code, none.stderr) == (1, "error: gone: no such folder; name the folder of results\n")


def test_configurations_are_laid_over_one_another(results):
    Path("over.yaml").write_text("models: {nano: {source: {kind: nano, size: xs}}}\n")
    base = str(ROOT / "config.yaml")
    assert run("results/models", "--config", base).exit_code == 0
    changed = run("results/models", "--config", base, "--config", "over.yaml")
    assert changed.exit_code == 1
    assert "made with source.size = 'm', the configuration has 'xs'" in changed.stdout
