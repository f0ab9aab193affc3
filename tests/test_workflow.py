"""The Snakemake side, on a copy of the workflow whose stages are stand-ins that only write a line."""

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml

import confessions

ROOT = Path(__file__).parent.parent
FIGURES = [
    "figures/reproduction.png",
    "figures/training_echo.png",
    "tables/reproduction.csv",
    "tables/training.csv",
]

# Lies over the real package: __main__, tables and figures are found here first, config and specs there.
STAND_INS = {
    "__init__": f"__path__.append({str(Path(confessions.__file__).parent)!r})",
    "__main__": """
import json, sys
from pathlib import Path

command, *words = sys.argv[1:]
options = dict(zip(words[::2], words[1::2]))
spec, out = json.loads(options["--spec"]), Path(options["--out"])


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(command)


if command == "build-model":
    write(out / "config.json")
elif command == "train":
    train = spec["train"]
    write(Path(options["--work"]) / "state")
    for fraction in train["checkpoint_fractions"]:
        folder = out / "adapters" / f"step_{round(fraction * train['steps'])}"
        write(folder / "adapter_model.safetensors")
        write(folder / "adapter_config.json")
    write(out / "metrics.jsonl")
    write(out / "config.json")
else:
    write(out)
print(command, "is done")
if spec.get("seed") == 13:
    sys.exit("error: seed 13 brings bad luck")
""",
    "tables": """
from pathlib import Path

reproduction = training = lambda inputs, *more: [inputs, *more]
write = lambda table, path: Path(path).write_text(repr(table))
""",
    "figures": """
from pathlib import Path

plot_reproduction = plot_training_echo = lambda table, out: Path(out).write_text(Path(table).read_text())
""",
}


@pytest.fixture(scope="module")
def workflow(tmp_path_factory) -> Path:
    """A folder with the workflow and its stand-ins, run once."""
    folder = tmp_path_factory.mktemp("workflow")
    shutil.copy(ROOT / "config.yaml", folder)
    shutil.copytree(ROOT / "workflow", folder / "workflow")
    package = folder / "stand-ins" / "confessions"
    package.mkdir(parents=True)
    for name, text in STAND_INS.items():
        (package / f"{name}.py").write_text(text)
    first = snakemake(folder)
    assert first.returncode == 0, first.stdout
    return folder


def snakemake(folder: Path, *options: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(folder / "stand-ins")}
    command = [sys.executable, "-m", "snakemake", *options]
    return subprocess.run(command, cwd=folder, env=environment, check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip


def jobs(run: subprocess.CompletedProcess) -> Counter:
    """Jobs by rule, out of a dry run's table, without the target."""
    assert run.returncode == 0, run.stdout
    lines = run.stdout.split("Job stats:")[-1].split("total")[0].splitlines()
    pairs = [line.split() for line in lines if len(line.split()) == 2 and line.split()[1].isdigit()]
    return Counter({rule: int(count) for rule, count in pairs if rule != "all"})


def override(folder: Path, **experiment: object) -> list[str]:
    """Options that lay another config file over config.yaml."""
    path = folder / "override.yaml"
    path.write_text(yaml.safe_dump({"experiments": {"demo": experiment}}))
    return ["--configfile", str(path)]


def test_snakemake_alone_makes_everything_and_keeps_the_logs(workflow):
    for name in FIGURES:
        assert (workflow / "results" / name).stat().st_size > 0
    steps = load_steps()
    for stage in ("rollouts", "scores"):
        found = {path.name for path in (workflow / "results/demo/seed0" / stage).iterdir()}
        assert found == {f"step_{step}.parquet" for step in steps}
    assert (workflow / "results/demo/seed0/logs/train.log").read_text() == "train is done\n"


def load_steps() -> list[int]:
    train = yaml.safe_load((ROOT / "config.yaml").read_text())["experiments"]["demo"]["train"]
    return [round(fraction * train["steps"]) for fraction in train["checkpoint_fractions"]]


def test_a_second_run_does_nothing(workflow):
    assert "Nothing to be done" in snakemake(workflow).stdout


def test_a_deleted_rollout_file_re_runs_what_depends_on_it(workflow):
    results = workflow / "results"
    middle = load_steps()[1]
    before = {
        path: path.stat().st_mtime_ns for path in results.rglob("*") if path.is_file() and "logs" not in path.parts
    }
    lost = results / f"demo/seed0/rollouts/step_{middle}.parquet"
    lost.unlink()
    expected = {"sample_rollouts": 1, "score_rollouts": 1, "tabulate_reproduction": 1, "plot_reproduction": 1}
    assert jobs(snakemake(workflow, "-n")) == expected
    time.sleep(1)
    assert snakemake(workflow).returncode == 0
    made = {str(path.relative_to(results)) for path, then in before.items() if path.stat().st_mtime_ns != then}
    assert made == {
        f"demo/seed0/rollouts/step_{middle}.parquet", f"demo/seed0/scores/step_{middle}.parquet",
        "tables/reproduction.csv", "figures/reproduction.png",
    }  # fmt: skip


def test_a_changed_setting_re_runs_what_depends_on_it(workflow):
    base = yaml.safe_load((ROOT / "config.yaml").read_text())["experiments"]["demo"]
    n = len(load_steps())
    tables = {"tabulate_reproduction": 1, "plot_reproduction": 1}
    options = override(workflow, evaluation={"rollouts": base["evaluation"]["rollouts"] + 2})
    assert jobs(snakemake(workflow, "-n", *options)) == {"sample_rollouts": n, "score_rollouts": n, **tables}
    options = override(workflow, seeds=[*base["seeds"], 77])
    again = jobs(snakemake(workflow, "-n", *options))
    assert again["train_policy"] == 1
    assert again["sample_rollouts"] == n


def test_a_failed_run_keeps_its_working_folder_and_its_log(workflow):
    run = snakemake(workflow, *override(workflow, seeds=[13]))
    assert run.returncode != 0
    assert "error: seed 13 brings bad luck" in run.stdout
    folder = workflow / "results/demo/seed13"
    assert (folder / "work/state").exists()
    assert not (folder / "train/metrics.jsonl").exists()
    assert "bad luck" in (folder / "logs/train.log").read_text()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            ["--config", "experimnt=demo"],
            "config.yaml: experimnt = 'demo': unknown key; nearest known: 'experiment'",
        ),
        (
            ["--config", "experiment=dem"],
            "config.yaml: experiment = 'dem': unknown experiment; nearest known: 'demo'",
        ),
    ],
)
def test_a_wrong_configuration_is_one_line_before_any_job(workflow, options, expected):
    run = snakemake(workflow, *options)
    assert run.returncode == 1
    notes = ("Using workflow specific profile", "Config file config.yaml is extended")
    said = [line for line in run.stdout.splitlines() if not line.startswith(notes)]
    assert said == [f"error: {expected}"]


def test_the_reproduction_is_planned_with_its_judge(workflow):
    planned = jobs(snakemake(workflow, "-n", "--config", "experiment=reproduction"))
    assert planned["build_model"] == 2
    assert planned["sample_rollouts"] == 5


def test_a_dry_run_is_instant(workflow):
    start = time.monotonic()
    assert snakemake(workflow, "-n", "--quiet").returncode == 0
    assert time.monotonic() - start < 6  # about 2 s on an idle machine


def test_every_rule_has_a_log():
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        text = path.read_text()
        assert text.count("\nrule ") + text.startswith("rule ") == text.count("    log:"), path.name
