"""What docs/extending.md promises: a user's own files, by their paths, through the whole workflow. No stand-ins."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from test_workflow import ROOT, copy_workflow, jobs, own_snakemake

from confessions import prompts, tasks
from confessions.config import ConfigError, load
from confessions.pipeline import specs
from confessions.runtime import outside
from confessions.runtime.errors import InputError
from confessions.tasks.conversation import Conversation
from confessions.tasks.word_count_unlabelled import hacks

OWN = "docs/extending/config.yaml"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    copy_workflow(tmp_path)
    shutil.copy(ROOT / "config.yaml", tmp_path)
    shutil.copytree(ROOT / "docs/extending", tmp_path / "docs/extending")
    return tmp_path


def test_an_experiment_of_ones_own_files_runs_to_its_figures(clone):
    """Every table and the logs; one figure stands for all, which read nothing but tables."""
    planned = jobs(own_snakemake(clone, "-n", "--configfile", OWN))
    assert {"train_policy": 1, "sample_policy": 1, "plot_stress_grid": 1}.items() <= planned.items()
    tables_and_logs = [rule for rule in planned if rule.startswith(("tabulate", "write_logs"))]
    options = ["plot_stress_grid", *tables_and_logs, "--configfile", OWN]
    run = own_snakemake(clone, *options)
    assert run.returncode == 0, run.stdout
    results = clone / "results/own"
    scores = pd.read_parquet(results / "seed0/scores/step_2.parquet")
    assert set(scores["judge"]) == {"generous"}
    assert set(scores["condition"]) == {"baseline", "./docs/extending/flattery.txt"}
    assert set(scores["variant"]) == {"default", "./docs/extending/brief.txt"}
    assert set(scores["n_objectives"]) == {3}
    rollouts = pd.read_parquet(results / "seed0/rollouts/step_2.parquet")
    assert rollouts["x"].str.startswith("Write 3 words that begin with the letter ").all()
    brief = rollouts["variant"] == "./docs/extending/brief.txt"
    assert (rollouts["xc"].str.startswith("Be brief") == brief).all()
    assert "one_beginning" in set(pd.read_csv(results / "tables/hack_survey.csv")["detector"])
    assert (results / "figures/stress_grid.png").stat().st_size > 0
    again = own_snakemake(clone, "-n", *options)
    assert "Nothing to be done" in again.stdout, again.stdout
    with (clone / "docs/extending/reward.py").open("a") as file:
        file.write("# another reward\n")
    assert "train_policy" in jobs(own_snakemake(clone, "-n", *options))


@pytest.fixture
def in_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def own_config(**experiment: object) -> dict:
    base, over = (yaml.safe_load((ROOT / file).read_text()) for file in ("config.yaml", OWN))
    own = over["experiments"]["own"] | experiment
    return base | {"experiment": "own", "experiments": {"own": own}}


def test_a_task_of_ones_own_imports_its_neighbours(in_the_root):
    task = tasks.get("./docs/extending/letters")
    spec = {"letter": "b", "n": 3}
    assert task.prompt(spec).startswith("Write 3 words that begin with the letter b")
    truth = task.verify(spec, "boat (ok)\ncat (ok)\nbird")
    assert (truth.met, truth.compliant, truth.hacked, truth.n_false_labels) == ((True, False, True), False, True, 1)


def test_a_task_of_ones_own_is_called_by_its_path(in_the_root):
    """So that its rollouts find it again. One that is named in two ways is itself under both."""
    names = ["./docs/extending/letters", "docs/extending/letters"]
    found = [tasks.get(name) for name in names]
    assert [task.name for task in found] == names


def test_each_file_is_part_of_what_names_a_result(in_the_root):
    config = load(own_config())
    train, rollout = specs.train_spec(config, 0), specs.rollout_spec(config, "nano-xs")
    assert train.task_digest == outside.digest("./docs/extending/letters")
    assert set(train.digests) == {"./docs/extending/reward.py", "./docs/extending/advantages.py"}
    assert train.judge.digest == outside.digest("./docs/extending/judge.py")
    flattery = prompts.text("conditions", "./docs/extending/flattery.txt")
    assert rollout.texts["conditions"]["./docs/extending/flattery.txt"] == prompts.digest(flattery)
    assert specs.score_spec(config).task_digest == train.task_digest


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"task": "./nowhere/letters"}, "experiments.own.task = './nowhere/letters': nowhere/letters/task.py: no such"),
        ({"judge": {"kind": "own", "path": "./no.py"}}, "experiments.own.judge.path = './no.py': no.py: no such file"),
        ({"judge": {"kind": "own", "path": "./no.txt"}}, "experiments.own.judge.path = './no.txt'"),
        ({"survey": {"task": "word_count_unlabelled", "rollouts": 2, "detectors": ["./no.py"]}}, "detectors.0 = "),
    ],
)
def test_a_path_to_nothing_is_one_line(in_the_root, change, said):
    with pytest.raises(ConfigError) as caught:
        load(own_config(**change))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_texts_of_one_name_are_refused(in_the_root):
    evaluation = own_config()["experiments"]["own"]["evaluation"]
    twice = evaluation | {"conditions": ["baseline", "./docs/extending/flattery.txt", "./tests/flattery.txt"]}
    with pytest.raises(ConfigError, match=r"conditions\.2 = './tests/flattery.txt': .*No such file"):
        load(own_config(evaluation=twice))
    same = evaluation | {"conditions": ["baseline", "./docs/extending/flattery.txt", "docs/extending/flattery.txt"]}
    with pytest.raises(ConfigError, match="the same name in files"):
        load(own_config(evaluation=same))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 / 0", "line 1: ZeroDivisionError: division by zero"),
        ("import nothing_of_that_name", "line 1: ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("def f(:", "SyntaxError: "),
        ("x = 1", "has no claim_reward"),
    ],
)
def test_a_file_that_does_not_import_is_one_line(tmp_path, text, said):
    (tmp_path / "own.py").write_text(text + "\n")
    with pytest.raises(InputError) as caught:
        outside.member(tmp_path / "own.py", "claim_reward")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_detector_of_ones_own(in_the_root, monkeypatch):
    monkeypatch.setattr(hacks.base, "DETECTORS", dict(hacks.DETECTORS))
    found = outside.module("docs/extending/detectors.py").one_beginning
    assert hacks.base.DETECTORS["one_beginning"].fn is found
    spec = {"topic": "", "targets": [2, 2]}
    assert found(hacks.sample("word_count", Conversation(spec, "Rain fell. Rain stopped."))) == "every sentence: rain"
    assert found(hacks.sample("word_count", Conversation(spec, "Rain fell. Seas rose."))) is None
