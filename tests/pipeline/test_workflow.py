"""The Snakemake side, on a copy of the workflow whose stages are stand-ins that only write a line."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import forked_snakemake
import pandas as pd
import pytest
import yaml

import confessions
from confessions.analysis import catalogue, pages
from confessions.config import load
from confessions.pipeline import persistence, subjects
from confessions.pipeline.paths import CALIBRATED, calibration_file
from confessions.pipeline.plan.plan import Plan
from confessions.pipeline.verify import verify
from confessions.runtime.provenance import read

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())
DEMO = CONFIG["experiments"]["demo"]
TABLES, FIGURES = (sorted(entries) for entries in catalogue.of(load(CONFIG)))


def over(module: str) -> str:
    """A package in front of a real one: what it lacks is found there."""
    return f"__path__.append({str(Path(confessions.__file__).parent / module)!r})\n"


# Lies over the real package: __main__, tables and figures are found here first, config and specs there.
STAND_INS = {
    "__init__": over(""),
    "__main__": """
import json, sys
from pathlib import Path

command, *words = sys.argv[1:]
options = {}
for name, value in zip(words[::2], words[1::2]):
    options.setdefault(name, []).append(value)
spec = json.loads(options["--spec"][0])
outs = [Path(out) for out in options.get("--out", [])]


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(command)


if command in ("build-model", "post-train"):
    write(outs[0] / "config.json")
elif command == "train":
    train = spec["train"]
    write(Path(options["--work"][0]) / "state")
    for fraction in train["checkpoint_fractions"]:
        folder = outs[0] / "adapters" / f"step_{round(fraction * train['steps'])}"
        if train["lora"]:
            write(folder / "adapter_model.safetensors")
            write(folder / "adapter_config.json")
        elif fraction:
            write(outs[0] / "models" / folder.name / "config.json")
    write(outs[0] / "training_rollouts" / "step_1.parquet")
    write(outs[0] / "metrics.jsonl")
    write(outs[0] / "config.json")
elif command == "rollout":
    for out in spec["files"]:
        write(Path(out))
elif command == "write-logs":
    for number, checkpoint in enumerate(spec["checkpoints"]):
        every = ["baseline", "awareness", "soft", "hard", "jailbreak"]
        conditions = every if "seed" in checkpoint["prefix"] or not spec["training"] else every[:1]
        for condition in conditions:
            for variant in ("default", "forced_count"):
                write(outs[0] / f"{checkpoint['prefix']}-{condition}-{variant}.eval")
    for run in spec["training"]:
        for name in run["logs"]:
            write(outs[0] / name)
else:
    for out in outs:
        write(out)
print(command, "is done")
if spec.get("seed") == 13:
    sys.exit("error: seed 13 brings bad luck")
""",
    "analysis/__init__": over("analysis"),
    "analysis/figures/__init__": "",
    "analysis/tables/__init__": """
from pathlib import Path

write = lambda table, path: Path(path).write_text(repr(table))
""",
}
DRAW = "lambda table, out: Path(out).write_text(Path(table).read_text())"
FUNCTIONS = [(table, "lambda **given: sorted(given.items())") for table in catalogue.TABLES.values()]
FUNCTIONS += [(figure, DRAW) for figure in catalogue.FIGURES.values()]


def write_stand_ins(folder: Path) -> Path:
    """Into a folder for PYTHONPATH: STAND_INS, and what the catalogue names."""
    package = folder / "stand-ins" / "confessions"
    for name, text in STAND_INS.items():
        file = package / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    for entry, text in FUNCTIONS:
        module, name = entry.function.split(":")
        with (package / "analysis" / f"{module.replace('.', '/')}.py").open("a") as file:
            file.write(f"from pathlib import Path\n{name} = {text}\n")
    return package.parent


@pytest.fixture(scope="module")
def workflow(tmp_path_factory) -> Path:
    """A folder with the workflow and its stand-ins, run once."""
    folder = tmp_path_factory.mktemp("workflow")
    shutil.copy(ROOT / "config.yaml", folder)
    copy_workflow(folder)
    write_stand_ins(folder)
    first = snakemake(folder)
    assert first.returncode == 0, first.stdout
    return folder


MADE = {calibration_file(key, task) for key in load(CONFIG).models for task in CALIBRATED}  # by the workflow


def copy_workflow(folder: Path) -> None:
    """Everything of the repository that `snakemake` reads, but for the configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "Snakefile", folder)
    for name in ("workflow", "profiles", "slurm", "envs"):
        shutil.copytree(ROOT / name, folder / name)
    for experiment in load(CONFIG).experiments.values():
        for file in {*experiment.read_files.values(), *experiment.trained_on.values()} - MADE:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, folder / file)


def snakemake(folder: Path, *options: str) -> subprocess.CompletedProcess:
    """With the stand-ins of `folder`."""
    return own_snakemake(folder, *options, path=folder / "stand-ins")


def own_snakemake(folder: Path, *options: str, path: Path | None = None) -> subprocess.CompletedProcess:
    """The library that these tests import runs it, or what lies over it in `path`."""
    own = str(Path(confessions.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": str(path or own)}
    return forked_snakemake.run(folder, options, environment)


@pytest.fixture(scope="module")
def everything(workflow) -> Callable[[str], subprocess.CompletedProcess]:
    """The dry run of all of an experiment, made once: whatever is there already has no part in it."""
    return cache(lambda name: snakemake(workflow, "-n", "--forceall", "--config", f"experiment={name}"))


def jobs(run: subprocess.CompletedProcess) -> Counter:
    """Jobs by rule, out of a dry run's table, without the target."""
    assert run.returncode == 0, run.stdout
    lines = run.stdout.split("Job stats:")[-1].split("total")[0].splitlines()
    pairs = [line.split() for line in lines if len(line.split()) == 2 and line.split()[1].isdigit()]
    return Counter({rule: int(count) for rule, count in pairs if rule != "all"})


ALONE = {"variants": ["default"]}  # of a task that has no wording of its own


def override(folder: Path, **experiment: object) -> list[str]:
    """Options that lay another config file over config.yaml."""
    path = folder / "override.yaml"
    path.write_text(yaml.safe_dump({"experiments": {"demo": experiment}}))
    return ["--configfile", str(path)]


def test_snakemake_alone_makes_everything_and_keeps_the_logs(workflow):
    results = workflow / "results"
    for place in (results, results / "demo"):
        assert {path.stem for path in (place / "tables").glob("*.csv") if path.stat().st_size} == {*TABLES}
        assert {path.stem for path in (place / "figures").glob("*.png") if path.stat().st_size} == {*FIGURES}
    steps = load_steps()
    for stage in ("rollouts", "scores"):
        found = {path.name for path in (results / "demo/seed0" / stage).iterdir()}
        assert found == {f"step_{step}.parquet" for step in steps}
        compared = {*DEMO["scale"], *DEMO["ladder"]}
        assert {path.parent.name for path in results.glob(f"demo/models/*/{stage}.parquet")} == compared
    assert (results / "demo/seed0/logs/train.log").read_text() == "train is done\n"


def test_tables_and_figures_are_recorded(workflow):
    for folder, names in (
        ("tables", {f"{name}.csv" for name in TABLES}),
        ("figures", {f"{name}.png" for name in FIGURES}),
    ):
        records = {path.stem: read(path) for path in (workflow / "results/demo" / folder / "provenance").iterdir()}
        assert {name: record.stage for name, record in records.items()} == {name: name for name in records}
        assert {record.experiment for record in records.values()} == {"demo"}
        assert {name for record in records.values() for name in record.outputs} == names
    assert set(records["plot_training_echo"].inputs) == {"../tables/training.csv"}


def shown(folder: Path) -> dict[str, str]:
    """The view of the chosen experiment: each file with what it is a link to."""
    links = [path for path in folder.glob("results/*/*") if path.suffix in (".csv", ".png") and path.is_symlink()]
    return {str(path.relative_to(folder)): os.readlink(path) for path in links}


def made(folder: Path, experiment: str) -> dict[Path, tuple[int, str]]:
    """When and what was made of an experiment."""
    kinds = (".parquet", ".jsonl", ".safetensors", ".csv", ".html", ".png", ".eval")
    files = [path for path in folder.glob(f"results/{experiment}/**/*") if path.suffix in kinds]
    return {path: (path.stat().st_mtime_ns, path.read_text()) for path in files}


def test_two_experiments_never_overwrite_each_other(workflow, tmp_path):
    """And the view is of the one that was chosen last, whole, though the other has more tables."""
    folder = shutil.copytree(workflow, tmp_path / "workflow", symlinks=True)
    demo, view, logs = made(folder, "demo"), shown(folder), folder / "results/logs"
    assert set(view) == {f"results/tables/{name}.csv" for name in TABLES} | {
        f"results/figures/{name}.png" for name in FIGURES
    }
    smaller = {"policy": None, "train": None, "survey": None, "ladder": []}
    other = CONFIG | {"experiment": "other", "experiments": CONFIG["experiments"] | {"other": DEMO | smaller}}
    (folder / "other.yaml").write_text(yaml.safe_dump(other))
    run = snakemake(folder, "--configfile", "other.yaml")
    assert run.returncode == 0, run.stdout
    names = {f"tables/{name}.csv" for name in ("scale", "verification", "stress_grid", "judge")}
    names |= {"figures/scale.png", "figures/stress_grid.png"}
    assert shown(folder) == {f"results/{name}": f"../other/{name}" for name in names}
    assert made(folder, "demo") == demo
    others = made(folder, "other")
    assert len([path for path in others if path.suffix in (".csv", ".png")]) == len(names)
    if find_spec("inspect_ai"):
        assert {path.name.split("-")[0] for path in logs.glob("*.eval")} == {"other"}
    assert "Nothing to be done" in snakemake(folder, "--configfile", "other.yaml").stdout
    back = snakemake(folder, "results/figures/stress_grid.png")
    assert shown(folder) == {"results/figures/stress_grid.png": "../demo/figures/stress_grid.png"} | {
        name: link for name, link in shown(folder).items() if name.startswith("results/tables")
    }
    assert back.returncode == 0, back.stdout
    back = jobs(snakemake(folder, "-n"))
    assert set(back) <= {"view_result", "view_logs"}
    assert snakemake(folder).returncode == 0
    assert shown(folder) == view
    assert made(folder, "demo") == demo
    assert made(folder, "other") == others


def test_a_file_of_the_view_whose_link_is_broken_is_made_again(workflow):
    (workflow / "results/demo/figures/scale.png").unlink()
    assert jobs(snakemake(workflow, "-n")) == {"plot_scale": 1, "view_result": 1}
    assert snakemake(workflow).returncode == 0
    assert (workflow / "results/figures/scale.png").read_text()


@pytest.mark.parametrize("file", ["tables/power.csv", "figures/scale.png", "logs/demo-nano-baseline-default.eval"])
def test_results_of_the_old_layout_are_refused_in_one_line(workflow, tmp_path, file):
    """Before Snakemake can delete what a rule is about to make."""
    copy_workflow(tmp_path)
    shutil.copy(ROOT / "config.yaml", tmp_path)
    old = tmp_path / "results" / file
    old.parent.mkdir(parents=True)
    old.write_text("old")
    run = own_snakemake(tmp_path, "-n")
    named = old.parent if file.startswith("logs") else old
    assert run.returncode == 1
    assert run.stdout.splitlines()[-1].startswith(f"error: {named.relative_to(tmp_path)}: no link into the folder of")
    assert old.read_text() == "old"


def test_a_new_figure_is_its_module_its_caption_and_one_line(workflow, tmp_path):
    folder = shutil.copytree(workflow, tmp_path / "workflow", symlinks=True)
    package = folder / "stand-ins/confessions/analysis"
    line = '    "mine": Entry("power", "figures.mine:plot_mine", "Mine"),\n'
    text = Path(catalogue.__file__).read_text()
    (package / "catalogue.py").write_text(text.replace("FIGURES = {\n", f"FIGURES = {{\n{line}"))
    (package / "figures/mine.py").write_text("def plot_mine(table, out):\n    open(out, 'w').write('mine')\n")
    (folder / "workflow/report/figures/mine.rst").write_text("Mine.\n")
    assert jobs(snakemake(folder, "-n")) == {"plot_mine": 1, "view_result": 1}
    run = snakemake(folder)
    assert run.returncode == 0, run.stdout
    assert (folder / "results/figures/mine.png").read_text() == "mine"


# What `snakedeploy deploy-workflow` 0.17 writes into workflow/Snakefile, beside a copy of config/ and profiles/.
DEPLOYED = """
from snakemake.utils import min_version


min_version("6.10.0")


configfile: "config/config.yaml"


# declare it as a module
module confessions:
    snakefile:
        "{root}/Snakefile"
    config:
        config


# use all rules from it
use rule * from confessions
"""


def test_a_deployed_copy_plans_what_a_clone_does(workflow, tmp_path):
    for name in ("config", "profiles"):
        shutil.copytree(ROOT / name, tmp_path / name)  # as snakedeploy does: a link becomes the file
    assert not (tmp_path / "config/config.yaml").is_symlink()
    (tmp_path / "workflow").mkdir()
    (tmp_path / "workflow/Snakefile").write_text(DEPLOYED.format(root=ROOT))
    deployed = own_snakemake(tmp_path, "-n", "--config", "experiment=scale")
    assert jobs(deployed) == jobs(own_snakemake(workflow, "-n", "--forceall", "--config", "experiment=scale"))
    misspelt = own_snakemake(tmp_path, "-n", "--config", "experiment=scal")
    assert misspelt.stdout.splitlines()[-1].startswith("error: config.yaml: experiment = 'scal': unknown experiment")


def test_the_sweep_is_a_target_of_its_own(workflow):
    """A model, three files of rollouts in one job, and their scores for each of its 72 points."""
    each = dict.fromkeys(("post_train_model", "sample_seeded", "score_seeded"), 72)
    once = dict.fromkeys(("build_model", "tabulate_seeding", "plot_seeding", "seeding", "view_tables_of_sweep"), 1) | {
        "view_result": 2
    }
    found = jobs(snakemake(workflow, "-n", "seeding", "--config", "experiment=programming"))
    assert found == Counter(each | once)
    assert not [
        rule for rule in jobs(snakemake(workflow, "-n", "--config", "experiment=programming")) if "seed" in rule
    ]


@pytest.mark.parametrize("experiment", CONFIG["experiments"])
def test_every_experiment_is_planned_as_its_dry_run_counts_it(everything, experiment):
    """The jobs of `confessions plan`; tables, figures and the view of them taken together."""
    counted = Counter()
    for rule, n in jobs(everything(experiment)).items():
        counted[{"tabulate": "tables", "plot": "figures", "view": "view"}.get(rule.split("_")[0], rule)] += n
    planned = Counter()
    for job in Plan(load(CONFIG | {"experiment": experiment}), "H200").jobs():
        planned[job.rule] += job.n
    assert planned == counted


LOCAL_RULES = """
import sys
from pathlib import Path

from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, OutputSettings, ResourceSettings

chosen = ConfigSettings(config={"experiment": sys.argv[1]})
with SnakemakeApi(OutputSettings()) as api:
    workflow = api.workflow(ResourceSettings(cores=1), chosen, snakefile=Path("Snakefile"))._workflow
    print("local:", *workflow._localrules)
"""


def local_rules(folder: Path, experiment: str = "demo") -> set[str]:
    """Rules that are not submitted to a cluster."""
    command = [sys.executable, "-c", LOCAL_RULES, experiment]
    run = subprocess.run(command, cwd=folder, check=False, text=True, capture_output=True)
    assert run.stdout, run.stderr
    return set(run.stdout.splitlines()[-1].removeprefix("local: ").split())


def test_what_the_embedded_model_became_is_called_the_embedded_model(workflow):
    """Figures and logs say so by the label `source`, which a policy with a warm start has from its origin."""
    pytest.importorskip("inspect_ai", reason="the labels are read off the command that writes its logs")
    planned = snakemake(workflow, "-n", "-p", "--forceall", "write_logs", "--config", "experiment=countdown")
    assert set(re.findall(r'"source": "(\w+)"', planned.stdout)) == {"nano"}


def test_what_runs_on_the_login_node(workflow):
    """Models are fetched there, since a compute node may have no network; what is done in seconds is not submitted, and
    what takes a GPU is."""
    views = {"view_result", "view_logs", "view_tables", "view_tables_of_sweep"}
    drawn = {f"tabulate_{table}" for table in TABLES} | {f"plot_{figure}" for figure in FIGURES}
    assert local_rules(workflow) == {"build_model", "write_logs", "seeding", *views, *drawn}


def test_the_reproduction_is_few_submissions(workflow):
    """One for the training, one for the policy's rollouts and scores, one for each other model's."""
    profile = yaml.safe_load((ROOT / "slurm/config.yaml").read_text())
    groups = dict(pair.split("=") for pair in profile["groups"])
    planned = jobs(snakemake(workflow, "-n", "--config", *profile["config"]))
    local = local_rules(workflow, "reproduction")
    submitted = {rule: n for rule, n in planned.items() if rule not in local}
    assert sum(submitted.values()) <= 40
    single = dict.fromkeys(("train_policy", "sample_policy", "score_policy", "check_judge"), 1)
    assert submitted == single | {"sample_model": 9, "score_model": 9}
    assert groups["sample_policy"] == groups["score_policy"] != groups["sample_model"] == groups["score_model"]
    assert set(groups) - {"sample_seeded", "score_seeded"} == submitted.keys() - {"train_policy"}  # 12 submissions
    assert groups["sample_seeded"] == groups["score_seeded"] != groups["sample_model"]


def load_steps() -> list[int]:
    return [round(fraction * DEMO["train"]["steps"]) for fraction in DEMO["train"]["checkpoint_fractions"]]


def test_one_engine_start_for_all_cells_of_a_base_model(workflow):
    """Every checkpoint, condition and variant, the survey and the axes: one job for the policy, one for each other."""
    log = (workflow / "results/demo/logs/rollouts.log").read_text()
    assert log.count("rollout is done") == 1
    every = {*DEMO["scale"], *DEMO["ladder"]}
    assert DEMO["policy"] in every
    logs = {path.stem for path in (workflow / "results/demo/logs").glob("rollouts_*.log")}
    assert logs == {f"rollouts_{model}" for model in every - {DEMO["policy"]}}


def test_a_second_run_does_nothing(workflow):
    assert "Nothing to be done" in snakemake(workflow).stdout


def test_a_deleted_rollout_file_re_runs_what_depends_on_it(workflow):
    results = workflow / "results"
    before = {
        path: path.stat().st_mtime_ns
        for path in results.rglob("*")
        if path.is_file() and not {"logs", "benchmarks", "provenance"} & set(path.parts)
    }
    lost = results / "demo/models/nano-rl/rollouts.parquet"
    lost.unlink()
    expected = {"sample_model": 1, "score_model": 1, "tabulate_ladder": 1, "tabulate_verification": 1, "plot_ladder": 1,
                "view_result": 3, "view_tables": 1}  # fmt: skip
    logs = {"write_logs": 1, "view_logs": 1} if find_spec("inspect_ai") else {}
    assert jobs(snakemake(workflow, "-n")) == expected | logs
    time.sleep(1)
    left = workflow / ".snakemake/locks/0.output.lock"  # by a process that is dead
    left.parent.mkdir(exist_ok=True)
    left.write_text(f"{persistence.HOST}{socket.gethostname()}\n{lost.relative_to(workflow)}\n")
    assert snakemake(workflow).returncode == 0
    assert not left.exists()
    made = {str(path.relative_to(results)) for path, then in before.items() if path.stat().st_mtime_ns != then}
    assert {name for name in made if not name.endswith((".eval", ".html"))} == {
        "demo/models/nano-rl/rollouts.parquet", "demo/models/nano-rl/scores.parquet",
        *(f"{place}{file}" for place in ("", "demo/")
          for file in ("tables/ladder.csv", "tables/verification.csv", "figures/ladder.png")),
    }  # fmt: skip


def test_a_changed_setting_re_runs_what_depends_on_it(workflow):
    evaluation = DEMO["evaluation"]
    n_models = len({*DEMO["scale"], *DEMO["ladder"]})
    more = override(workflow, evaluation={"rollouts": evaluation["rollouts"] + 2})
    again = jobs(snakemake(workflow, "-n", *more))
    assert again["sample_policy"] == 1
    assert again["sample_model"] == n_models - 1
    assert again["score_policy"] == 1
    assert again["score_model"] == n_models - 1
    assert "train_policy" not in again
    # a condition is a matter of the policy's grid alone
    again = jobs(snakemake(workflow, "-n", *override(workflow, evaluation={"conditions": ["baseline", "hard"]})))
    assert again["sample_policy"] == 1
    assert "sample_model" not in again
    again = jobs(snakemake(workflow, "-n", *override(workflow, seeds=[*DEMO["seeds"], 77])))
    assert again["train_policy"] == 1
    assert again["sample_policy"] == 1
    assert "sample_model" not in again


def test_shards_are_jobs_that_make_the_same_files(workflow):
    """With a GPU each; their number changes no file's command and inputs, so nothing that is there is made again."""
    shards = override(workflow, policy="qwen3-8b", evaluation={"shards": 3})
    run = snakemake(workflow, "-n", "-p", *shards)
    planned = jobs(run)
    assert {rule: n for rule, n in planned.items() if rule.startswith("sample_policy")} == {
        f"sample_policy_{number}": 1 for number in (1, 2, 3)
    }
    assert planned["score_policy"] == 1
    assert len(re.findall(r"rule sample_policy_\d:.*?gpu=1\b.*?\n\n", run.stdout, re.DOTALL)) == 3
    commands = [line.split(" -m confessions rollout ")[1] for line in run.stdout.splitlines() if "rollout --" in line]
    made = Counter(re.findall(r"\S+\.parquet", " ".join(command.split("/work/rollouts")[1] for command in commands)))
    assert {*made.values()} == {1}
    assert len(made) == len(load_steps()) + 1  # and the survey
    assert "Nothing to be done" in snakemake(workflow, "-n", *override(workflow, evaluation={"shards": 3})).stdout
    lost = workflow / "results/demo/survey/rollouts.parquet"
    lost.unlink()
    again = jobs(snakemake(workflow, "-n", *override(workflow, evaluation={"shards": 7})))
    assert {rule: n for rule, n in again.items() if rule.startswith(("sample", "score"))} == {"sample_policy_6": 1}
    assert snakemake(workflow).returncode == 0


def test_a_file_of_problems_is_an_input_of_what_reads_it(workflow):
    """And a missing one is one line before any job."""
    more = override(workflow, task="programming", problems="apps.jsonl", survey=None, evaluation=ALONE)
    missing = snakemake(workflow, "-n", *more)
    said = "error: config.yaml: experiments.demo.problems = 'apps.jsonl': no such file"
    assert (missing.returncode, missing.stdout.splitlines()[-1]) == (1, said)
    (workflow / "apps.jsonl").write_text("")
    planned = snakemake(workflow, "-n", "--forceall", *more).stdout
    inputs = re.findall(r"rule (\w+):\n +input: (.*)\n", planned)
    reading = {rule for rule, files in inputs if "apps.jsonl" in files.split(", ")}
    assert reading == {"train_policy", "sample_policy", "sample_model"}


@pytest.mark.parametrize("experiment", ["programming_qwen", "programming_qwen_control", "programming_qwen_impossible"])
def test_problems_are_measured_before_a_policy_is_trained_on_them(everything, experiment):
    """In a clone that has no calibration yet."""
    planned = everything(experiment)
    assert jobs(planned)["calibrate_programs"] == 1
    [file] = [file for file in MADE if "1.5b/programming" in file]
    inputs = re.findall(r"rule (\w+):\n +input: (.*)\n", planned.stdout)
    assert {rule for rule, files in inputs if file in files.split(", ")} == {"train_policy", "sample_policy"}


def test_a_calibration_is_made_for_what_reads_it(workflow):
    """With the answers that are kept, of the model that is asked; another model's is refused before any job."""
    file = "results/calibrations/nano/calibration.json"
    frozen = {"calibration": {"frozen": {"train": 2, "evaluation": 2, "samples": 1}}}
    more = override(workflow, task="instructions", problems=file, survey=None, evaluation=ALONE, **frozen)
    planned = snakemake(workflow, "-n", "--forceall", *more)
    assert jobs(planned)["calibrate"] == 1
    inputs = re.findall(r"rule (\w+):\n +input: (.*)\n", planned.stdout)
    assert {rule for rule, files in inputs if file in files.split(", ")} == {
        "train_policy", "sample_policy", "sample_model"
    }  # fmt: skip
    outputs = dict(re.findall(r"rule (\w+):\n +input: .*\n +output: (.*)\n", planned.stdout))
    assert f"{file[:-16]}frozen_instructions_test.parquet" in outputs["calibrate"].split(", ")
    other = override(
        workflow, task="instructions", problems=file.replace("nano", "nano-xs"), survey=None, evaluation=ALONE
    )
    refused = snakemake(workflow, "-n", *other)
    assert refused.returncode == 1
    assert "a calibration of nano-xs, and the model is nano" in refused.stdout.splitlines()[-1]


def test_probes_are_sampled_and_scored_with_the_rest(workflow, tmp_path):
    """No job more but for their tables and figures; their files are inputs, and a missing one is one line before any
    job."""
    folder = shutil.copytree(workflow, tmp_path / "workflow", symlinks=True)
    probes = {"stored": {"answers": "kept.parquet", "rollouts": 2}, "asked": {"task": "countdown", "rollouts": 2}}
    more = override(folder, evaluation={"probes": probes})
    missing = snakemake(folder, "-n", *more)
    said = "error: config.yaml: experiments.demo.evaluation.probes.stored.answers = 'kept.parquet': no such file"
    assert (missing.returncode, missing.stdout.splitlines()[-1]) == (1, said)
    (folder / "kept.parquet").write_text("")
    planned = snakemake(folder, "-n", "--forceall", *more)
    plain = jobs(snakemake(folder, "-n", "--forceall"))
    figures = dict.fromkeys(("plot_by_kind", "plot_reliability", "plot_self_knowledge"), 1)
    tables = dict.fromkeys(("tabulate_probes", "tabulate_by_kind", "tabulate_reliability"), 1)
    assert jobs(planned) - plain == tables | figures | {"view_result": 6}
    inputs = re.findall(r"rule (\w+):\n +input: (.*)\n", planned.stdout)
    assert {rule for rule, files in inputs if "kept.parquet" in files.split(", ")} == {"sample_policy", "sample_model"}
    assert snakemake(folder, *more).returncode == 0
    assert os.readlink(folder / "results/tables/probes.csv") == "../demo/tables/probes.csv"
    for stage in ("rollouts", "scores"):
        found = {path.stem for path in (folder / "results/demo/seed0" / stage).iterdir()}
        assert found == {f"step_{step}{end}" for step in load_steps() for end in ("", "_stored", "_asked")}
        for name in {*DEMO["scale"], *DEMO["ladder"]}:
            found = {path.name for path in (folder / "results/demo/models" / name).glob(f"*{stage}.parquet")}
            assert found == {f"{start}{stage}.parquet" for start in ("", "stored_", "asked_")}
    assert "Nothing to be done" in snakemake(folder, "-n", *more).stdout
    lost = folder / "results/demo/seed0/rollouts/step_20_asked.parquet"
    lost.unlink()
    again = jobs(snakemake(folder, "-n", *more))
    assert {"sample_policy", "score_policy", "tabulate_probes"} <= {*again}
    assert not {"sample_model", "train_policy"} & {*again}


def test_stored_answers_are_made_where_a_rule_makes_them(workflow):
    """Of whichever model they are."""
    file = "results/calibrations/nano-xs/frozen_instructions.parquet"
    probes = {"read": {"task": "instructions", "answers": file, "rollouts": 2}}
    frozen = {"calibration": {"frozen": {"train": 2, "evaluation": 2, "samples": 1}}}
    planned = snakemake(workflow, "-n", *override(workflow, evaluation={"probes": probes}, **frozen))
    assert jobs(planned)["calibrate"] == 1
    assert (
        "--model results/models/nano-xs --out results/calibrations/nano-xs"
        in snakemake(workflow, "-n", "-p", *override(workflow, evaluation={"probes": probes}, **frozen)).stdout
    )
    refused = snakemake(workflow, "-n", *override(workflow, evaluation={"probes": probes}))
    assert refused.stdout.splitlines()[-1].endswith(f"evaluation.probes.read.answers = '{file}': no such file")


def test_checkpoints_that_are_models_have_a_job_each(workflow, tmp_path):
    """Of step 0, the policy itself, nothing is stored again, and its job waits for no training."""
    folder = shutil.copytree(workflow, tmp_path / "workflow", symlinks=True)
    whole = override(folder, train={"lora": None}, scale=[], ladder=[])
    planned = snakemake(folder, "-n", "-p", *whole)
    counted, steps = jobs(planned), load_steps()[1:]
    assert {rule: n for rule, n in counted.items() if rule.startswith("sample")} == {
        f"sample_policy_{number}": 1 for number in range(1, 6)
    }
    blocks = re.findall(r"rule sample_policy_\d:.*?\n\n", planned.stdout, re.DOTALL)
    inputs = [block.split("input: ")[1].splitlines()[0] for block in blocks]
    models = [f"results/demo/seed0/train/models/step_{step}" for step in steps]
    assert sorted(inputs) == sorted(["results/models/nano", *models])
    assert "adapter_model.safetensors" not in planned.stdout
    survey = subjects.survey_files(load(folder / "config.yaml", folder / "override.yaml"))
    assert snakemake(folder, *survey, *whole).returncode == 0
    assert all((folder / model / "config.json").exists() for model in models)


def test_several_processes_have_a_gpu_each(workflow):
    target, judge = "results/demo/seed0/train/metrics.jsonl", {"kind": "llm", "model": "qwen3-4b-instruct"}
    several = override(workflow, policy="qwen3-8b", judge=judge, train={"processes": 2})
    run = snakemake(workflow, target, "-n", "--printshellcmds", *several)
    (job,) = [text for text in run.stdout.split("\n\n") if "rule train_policy:" in text]
    assert {"gpu=2", "mem_mb=128000"} <= {*job.split("resources: ")[1].splitlines()[0].split(", ")}
    assert "python -m confessions train " in job  # which starts them


REPORTED = ("results", "categories")


def test_the_report_has_a_title_and_a_caption_for_every_figure_and_table(workflow):
    run = snakemake(workflow, "--report", "report.html")
    assert run.returncode == 0, run.stdout
    page = (workflow / "report.html").read_text()
    for kind, entries in (("tables", catalogue.TABLES), ("figures", catalogue.FIGURES)):
        assert {path.stem for path in (ROOT / "workflow/report" / kind).iterdir()} == entries.keys()
    results, categories = (json.loads(re.search(rf"var {name} = ({{\".*}});$", page, re.M)[1]) for name in REPORTED)
    titles = {
        category: {results[file]["labels"][kind] for file in files["Other"]}
        for (category, files), kind in zip(sorted(categories.items()), ("figure", "table", "table"), strict=True)
    }
    tables = {catalogue.TABLES[name].title for name in TABLES}
    assert titles == {
        "Figures": {catalogue.FIGURES[name].title for name in FIGURES}, "Tables": tables, "Tables as CSV": tables
    }  # fmt: skip
    assert {results[file]["mime_type"] for file in categories["Tables"]["Other"]} == {"text/html"}  # shown in place
    assert all(result["caption"] for result in results.values())


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
        (
            ["--configfile", "twice.yaml"],
            "{folder}/twice.yaml: line 1: the key models.a stands a second time; first in line 1",
        ),
    ],
)
def test_a_wrong_configuration_is_one_line_before_any_job(workflow, options, expected):
    (workflow / "twice.yaml").write_text("models: {a: {label: x}, a: {label: y}}\n")
    run = snakemake(workflow, *options)
    assert run.returncode == 1
    notes = ("Using workflow specific profile", "Config file config.yaml is extended")
    said = [line for line in run.stdout.splitlines() if not line.startswith(notes)]
    assert said == [f"error: {expected.format(folder=workflow)}"]


def test_the_reproduction_is_planned_with_its_judge(workflow):
    planned = jobs(snakemake(workflow, "-n", "--config", "experiment=reproduction"))
    assert planned["build_model"] == 11
    assert planned["sample_policy"] == 1
    assert planned["sample_model"] == 9


@pytest.mark.parametrize(
    ("experiment", "rule", "expected"),
    [("smollm2", "train_policy", "gpu=0"), ("smollm2", "sample_policy", "gpu=0"),
     ("reproduction", "train_policy", "gpu=1"), ("scale", "sample_model", "gpu=1")],
)  # fmt: skip
def test_a_job_asks_for_a_gpu_when_its_model_is_declared_to_need_one(everything, experiment, rule, expected):
    run = everything(experiment)
    assert run.returncode == 0, run.stdout
    (block,) = {re.search(r"gpu=\d", b)[0] for b in re.findall(rf"rule {rule}:.*?\n\n", run.stdout, re.DOTALL)}
    assert block == expected


def test_an_experiment_without_training_makes_its_own_tables_alone(everything):
    planned = jobs(everything("olmo3"))
    assert {rule for rule in planned if rule.startswith(("tabulate", "plot"))} == {
        "tabulate_stress_grid", "tabulate_judge", "tabulate_ladder", "tabulate_verification",
        "plot_stress_grid", "plot_ladder",
    }  # fmt: skip
    assert not {"train_policy", "sample_policy", "score_policy"} & planned.keys()


def test_experiments_without_training_run_one_after_the_other(tmp_path):
    """Without stand-ins for once: labels meet the table that wants them in the job alone, behind all GPU hours. The
    policy and the model of an axis are both asked in every condition and variant. The second experiment takes models of
    the first, leaves its files as they are, and has the view; verify finds both whole."""
    copy_workflow(tmp_path)
    evaluation = DEMO["evaluation"] | {
        "conditions": ["baseline", "jailbreak"], "rollouts": 2, "max_task_tokens": 8, "max_confession_tokens": 8,
    }  # fmt: skip
    bare = {"task": "word_count", "policy": "nano", "judge": DEMO["judge"], "evaluation": evaluation}
    bare |= {"scale": ["nano-xs"], "ladder": []}
    models = {key: CONFIG["models"][key] for key in ("nano", "nano-xs")}
    experiments = {"bare": bare, "alone": bare | {"policy": None}}
    config = {"experiment": "bare", "models": models, "experiments": experiments}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    run = own_snakemake(tmp_path)
    assert run.returncode == 0, run.stdout
    first = made_bytes(tmp_path / "results/bare")
    run = own_snakemake(
        tmp_path, "results/tables/scale.csv", "results/figures/scale.png", "--config", "experiment=alone"
    )
    assert run.returncode == 0, run.stdout
    assert made_bytes(tmp_path / "results/bare") == first
    assert {link.split("/")[1] for link in shown(tmp_path).values()} == {"alone"}
    assert {name.rpartition("/")[2] for name in shown(tmp_path)} == {
        path.name for kind in ("tables/*.csv", "figures/*.png") for path in (tmp_path / "results/alone").glob(kind)
    }
    assert not verify(tmp_path / "results", load(config)).findings
    tables = {path.stem: pd.read_csv(path) for path in (tmp_path / "results/bare/tables").glob("*.csv")}
    assert tables.keys() == {"scale", "verification", "judge", "stress_grid"}
    assert {source for table in tables.values() for source in table["source"]} == {"nano"}
    labels = {models[key]["label"] for key in models}
    grid = tables["stress_grid"].query("kind == 'cell' and metric == 'report_valid'")
    cells = {*product(labels, ("baseline", "jailbreak"), evaluation["variants"])}
    assert {*zip(grid["model"], grid["condition"], grid["variant"], strict=True)} == cells
    assert len(grid) == len(cells) == 8
    assert {*tables["judge"]["model"]} == labels
    for figure in ("scale", "stress_grid"):
        assert (tmp_path / f"results/bare/figures/{figure}.png").stat().st_size > 0
        assert pages.table(tmp_path / f"results/bare/tables/{figure}.csv", catalogue.TABLES[figure].title) == (
            (tmp_path / f"results/bare/tables/pages/{figure}.html").read_text()
        )


def made_bytes(folder: Path) -> dict[Path, bytes]:
    """All files of an experiment."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_readme_adds_a_model_in_five_lines(workflow):
    text = (ROOT / "README.md").read_text().split("```yaml\n")[1].split("```")[0]
    added = yaml.safe_load(text)
    (name,) = added["models"]
    lines = text.split("models:\n")[1].split("experiments:")[0].splitlines()
    assert len(lines) == 5
    (workflow / "readme.yaml").write_text(text)
    chosen = ["--configfile", "readme.yaml", "--config", "experiment=reproduction"]
    planned = snakemake(workflow, "-n", *chosen)
    assert jobs(planned)["sample_model"] == 10
    assert f"results/reproduction/models/{name}/rollouts.parquet" in planned.stdout


def test_fifty_models_are_planned(workflow):
    """In how long: test_benchmark_dry_run.py."""
    hub = CONFIG["models"]["qwen3-8b"]
    models = {f"model-{n}": hub | {"label": f"Model {n}"} for n in range(50)}
    path = workflow / "fifty.yaml"
    path.write_text(yaml.safe_dump({"models": models, "experiments": {"demo": {"scale": list(models)}}}))
    planned = jobs(snakemake(workflow, "-n", "all", "--configfile", str(path)))
    assert planned["sample_model"] == 50  # the ladder's are there


def test_a_dry_run_loads_no_heavy_library(workflow):
    """So it takes some 2 s on an idle machine, of which Snakemake itself has most."""
    command = [sys.executable, "-X", "importtime", "-m", "snakemake", "-n", "--quiet"]
    run = subprocess.run(command, cwd=workflow, check=True, text=True, capture_output=True)
    imported = {line.split("|")[-1].strip() for line in run.stderr.splitlines() if line.startswith("import time:")}
    assert {"snakemake", "confessions.config"} <= imported
    assert not {"torch", "transformers", "trl", "datasets", "matplotlib"} & imported


def test_every_rule_has_a_log_and_a_benchmark():
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        text = path.read_text()
        rules = re.findall(r"^ *(?:use )?rule\b.*:$", text, re.MULTILINE)
        for directive in ("log", "benchmark"):
            assert len(rules) == len(re.findall(rf"^ *{directive}:$", text, re.MULTILINE)), (path.name, directive)


def test_every_job_leaves_its_time_and_memory_beside_its_experiment(workflow):
    """Or beside the models, which experiments share; no wildcard is left out of a name."""
    files = list((workflow / "results").rglob("benchmarks/*"))
    assert {path.parent.parent.name for path in files} == {"demo", "models"}
    for path in files:
        measured = pd.read_csv(path, sep="\t")
        assert len(measured) == 1
        assert {"s", "max_rss", "cpu_time"} <= {*measured}
    named = {path.stem for path in files}
    assert {"train_seed0", "rollouts", "scores_nano-xs", "tabulate_power", "plot_scale", "nano-rl"} <= named


def test_a_lost_benchmark_makes_nothing_again(workflow, tmp_path):
    """Nor does one of results that were made before there were any."""
    folder = shutil.copytree(workflow, tmp_path / "workflow", symlinks=True)
    for lost in (folder / "results").rglob("benchmarks"):
        shutil.rmtree(lost)
    assert "Nothing to be done" in snakemake(folder, "-n").stdout
    shutil.rmtree(folder / "results/demo/tables/pages")  # nor a page, but itself
    assert jobs(snakemake(folder, "-n")) == {"view_tables": 1}
