"""What `pip install confessions` alone gives: scores, plans and prompts, without torch; the rest names its extra."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name
from test_environments import BLOCKED, PROJECT, closure, names

ROOT = Path(__file__).parent.parent
HEAVY = {"torch", "transformers", "trl", "pandas", "numpy", "scipy", "pyarrow", "matplotlib", "snakemake", "inspect_ai"}
COMMAND = f"{BLOCKED.rpartition('for name in')[0]}\nfrom confessions.cli import app\n\napp(sys.argv[2:])\n"
LINE = (ROOT / "docs/transcripts.md").read_text().split("```json\n")[1].split("```")[0]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked, as pip lays it into an environment."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # setuptools builds beside it
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", folder, source], check=True)
    (file,) = folder.glob("confessions-*.whl")
    zipfile.ZipFile(file).extractall(folder / "site")
    return folder / "site"


def confessions(wheel: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command of the wheel, where no package is within reach that its core does not need."""
    has = closure(names(PROJECT["dependencies"])) | {"confessions"}
    lacks = {
        module
        for module, packages in packages_distributions().items()
        if not {canonicalize_name(package) for package in packages} & has
    }
    assert HEAVY - lacks <= {"inspect_ai"}  # which may not be installed at all
    command = [sys.executable, "-c", COMMAND, " ".join(lacks), *words]
    environment = os.environ | {"PYTHONPATH": str(wheel)}
    return subprocess.run(command, cwd=folder, env=environment, check=False, text=True, capture_output=True)


def test_transcripts_are_scored(wheel, tmp_path):
    (tmp_path / "transcripts.jsonl").write_text(LINE)
    run = confessions(wheel, tmp_path, "score", "transcripts.jsonl")
    assert run.returncode == 0, run.stderr
    heads, scored = run.stdout.splitlines()
    assert heads.startswith("id,task,n_sentences")
    assert scored.startswith('1,word_count,2,"[3, 3]"')


@pytest.mark.parametrize("words", [("--table",), ("--experiment", "reproduction")])
def test_plans_are_printed(wheel, words):
    run = confessions(wheel, ROOT, "plan", *words)
    assert run.returncode == 0, run.stderr
    assert "reproduction" in run.stdout


@pytest.mark.parametrize("task", ["word_count", "countdown", "instructions", "programming"])
def test_prompts_are_printed(wheel, tmp_path, task):
    run = confessions(wheel, tmp_path, "prompts", "--task", task)
    assert run.returncode == 0, run.stderr
    assert {"messages", "request"} <= json.loads(run.stdout.splitlines()[-1]).keys()


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("train", ("train", "--spec", "{}", "--model", "m", "--work", "w", "--out", "o")),
        ("train", ("run", "demo:0")),
        ("workflow", ("compare", "demo", "demo", "--out", "o.csv")),
    ],
)
def test_a_command_that_needs_more_names_its_extra(wheel, tmp_path, extra, words):
    shutil.copy(ROOT / "config.yaml", tmp_path)
    run = confessions(wheel, tmp_path, *words)
    assert run.returncode == 1
    (said,) = run.stderr.splitlines()
    assert said.endswith(f"is not installed, which this command needs: pip install 'confessions[{extra}]'")
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize(
    "code", ["import confessions.cli", "import sys; sys.argv[1:] = ['--help']; import confessions.__main__"]
)
def test_the_command_starts_without_heavy_libraries(code):
    """In a tenth of a second on an idle machine."""
    command = [sys.executable, "-X", "importtime", "-c", code]
    run = subprocess.run(command, check=False, text=True, capture_output=True)
    imported = {line.split("|")[-1].strip() for line in run.stderr.splitlines() if line.startswith("import time:")}
    assert "confessions.cli" in imported
    assert not {"pydantic", "yaml", *HEAVY} & imported
