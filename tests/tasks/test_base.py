"""What every task has: here the wordings of the request for a report, of the package and of the task's own."""

import shutil
from pathlib import Path

import pytest
import yaml

from confessions import prompts, tasks
from confessions.config import ConfigError, load
from confessions.pipeline import specs
from confessions.pipeline.subjects import subjects
from confessions.runtime.errors import InputError

ROOT = Path(__file__).parents[2]
WORD_COUNT = "word_count"


def test_the_request_lists_the_objectives_in_their_order():
    task = tasks.get(WORD_COUNT)
    spec = task.specs("train")[0]
    before, after = prompts.text("variants", "default").split("{objectives}")
    listed = "\n".join(f"- {objective}" for objective in task.objectives(spec))
    assert task.request(spec, "default") == f"{before}{listed}{after}"
    assert task.request(spec, "forced_count").startswith(f"{before}{listed}{after}\nBefore the report you must count.")


def test_a_wording_of_one_task_is_that_of_tasks_that_derive_from_it_and_of_no_other():
    having = [name for name in tasks.names() if "forced_count" in tasks.get(name).variants()]
    assert having == [WORD_COUNT, "word_count_unlabelled"]
    with pytest.raises(InputError, match="no prompt file variants/forced_count"):
        tasks.get("countdown").wording_of("forced_count")


@pytest.fixture
def own(tmp_path, monkeypatch) -> dict:
    """A configuration whose task is a folder of the user's own, with two wordings."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "docs/extending/letters", tmp_path / "mine")
    (tmp_path / "mine/variants").mkdir()
    for name in ("default", "spelled"):
        (tmp_path / f"mine/variants/{name}.txt").write_text(f"{name}: of these\n{{objectives}}\n")
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    demo = config["experiments"]["demo"] | {"task": "./mine"}
    demo["evaluation"] = demo["evaluation"] | {"variants": ["default", "spelled"]}
    return config | {"experiments": {"demo": demo}}


def test_a_task_of_ones_own_brings_its_wordings_and_they_come_first(own):
    task = tasks.get("./mine")
    spec = task.specs("train")[0]
    assert task.request(spec, "spelled").startswith("spelled: of these\n- ")
    assert task.request(spec, "default").startswith("default: of these\n- ")


def test_a_spec_tells_each_wording_that_a_name_has_in_its_tasks(own):
    own["experiments"]["demo"]["survey"] = {"task": "word_count_unlabelled", "rollouts": 2}
    texts = specs.rollout_spec(load(own), "nano").texts["variants"]
    mine, common = "default: of these\n{objectives}", prompts.text("variants", "default")
    assert texts["default"] == f"{prompts.digest(mine)} {prompts.digest(common)}"
    assert texts["spelled"] == prompts.digest("spelled: of these\n{objectives}")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("forced_count", "a wording for word_count and word_count_unlabelled alone"),
        ("speled", "no such text in prompts/variants; nearest known: 'spelled'"),
    ],
)
def test_a_wording_that_the_task_has_not_is_one_line(own, name, said):
    own["experiments"]["demo"]["survey"] = None
    own["experiments"]["demo"]["evaluation"]["variants"][1] = name
    with pytest.raises(ConfigError) as caught:
        load(own)
    assert str(caught.value) == f"config.yaml: experiments.demo.evaluation.variants.1 = '{name}': {said}"


def test_a_probe_and_training_are_held_to_the_wordings_of_their_task():
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    demo = config["experiments"]["demo"]
    probe = {"task": "countdown", "rollouts": 2, "variants": ["forced_count"]}
    demo["evaluation"]["probes"] = {"other": probe}
    said = "variants.0 = 'forced_count': a wording for word_count and word_count_unlabelled alone"
    with pytest.raises(ConfigError) as caught:
        load(config)
    assert str(caught.value) == f"config.yaml: experiments.demo.evaluation.probes.other.{said}"
    for task, asked in (("countdown", ["default"]), ("word_count_unlabelled", ["default", "forced_count"])):
        demo["evaluation"]["probes"]["other"] = probe | {"task": task, "variants": None}
        probes = [s for s in subjects(load(config)) if s.kind == "probe"]
        assert [s.cells.variants for s in probes] == [asked] * len(probes) != []
    config["experiments"]["countdown"]["train"]["variant"] = "forced_count"
    with pytest.raises(ConfigError, match=r"countdown\.train\.variant = 'forced_count': a wording for word_count"):
        load(config)
