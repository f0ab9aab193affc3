"""A run that is killed and started again ends as the run that was never killed, bit for bit on a CPU."""

import json
import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
from killed import Kill, differences, live, until_the_end
from machine import has_hard_links
from made_tables import LABELS
from safetensors.torch import load_file

from confessions.analysis import tables
from confessions.models import loading
from confessions.models.sources import build
from confessions.runtime.errors import InputError
from confessions.tasks.word_count.task import WordCount
from confessions.training import checkpoints
from confessions.training import run as training
from confessions.training.callbacks import Keeper
from confessions.training.kept_rollouts import FOLDER, read_steps, step_file
from confessions.training.trainer import DualSpanGRPOTrainer

SAMPLING = {"temperature": 1.0, "top_p": 1.0, "top_k": 0}
POLICY = {"key": "tiny", "dtype": "float32", "thinking": True}
STEPS, ADAPTERS = 5, (0, 2, 5)
SHORT = {"max_task_tokens": 8, "max_confession_tokens": 8}
CLOCK = ("seconds", "timeline")  # what differs from run to run in metrics.jsonl
LONG = {"max_task_tokens": 160, "max_confession_tokens": 400}


LORA = {"rank": 2, "alpha": 4.0, "target_modules": "all-linear"}


def train_command(limits: dict, prompts: int, lora: dict | None = LORA) -> list[str]:
    settings = limits | {
        "steps": STEPS, "prompts_per_step": prompts, "generations": 4, "learning_rate": 0.01, "kl_weight": 0.1,
        "lora": lora, "confession_reward": {"claims": "balanced", "grade_weight": 0.2},
        "sampling": SAMPLING, "checkpoint_fractions": [step / STEPS for step in ADAPTERS], "micro_batch": 2 * prompts,
        "gradient_checkpointing": False, "warmup_steps": 2, "max_grad_norm": 1.0,
    }  # fmt: skip
    judge = {"kind": "label_trusting"}
    spec = {"task": "word_count", "policy": POLICY, "judge": judge, "train": settings, "seed": 0}
    return ["train", "--spec", json.dumps(spec), "--model", "../model", "--work", "work", "--out", "out"]


def rollout_command(limits: dict, rollouts: int) -> list[str]:
    """Every adapter's cells as a block of their own, one file an adapter."""
    cells = {"task": "word_count", "conditions": ["baseline"], "variants": ["default"], "rollouts": rollouts}
    blocks = {step: {"seed": 0, "step": step, "adapter": f"out/adapters/step_{step}"} | cells for step in ADAPTERS}
    spec = {
        "model": POLICY | {"keep_thinking": True},
        "engine": {"kind": "transformers"},
        "evaluation": limits | {"sampling": SAMPLING, "batch_size": 4, "seed": 1000},
        "texts": {},
        "files": {f"out/rollouts/step_{step}.parquet": [block] for step, block in blocks.items()},
    }
    return ["rollout", "--spec", json.dumps(spec), "--model", "../model", "--work", "work/rollouts"]


def often() -> None:
    """Checkpoints every two steps, and so few prompts that five steps see each of them several times."""
    training.RESUME_EVERY = 2
    every = WordCount.specs
    WordCount.specs = lambda self, split: every(self, split)[:3]


def often_and_rewarded() -> None:
    """Random weights write nothing that a reward could tell apart: pay for ids, so that there is a gradient."""
    often()
    DualSpanGRPOTrainer._confession_rewards = lambda self, rollout, **_: [
        sum(r.confession.ids) % 7 / 6 for r in rollout
    ]


def metrics(folder: Path) -> list[dict]:
    """What was logged; how long it took is another thing in every run."""
    lines = (folder / "out/metrics.jsonl").read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name not in CLOCK} for line in lines]


def assert_same_end(folder: Path, whole: Path) -> None:
    assert differences(folder / "out", whole / "out") == ["metrics.jsonl"]  # seconds
    assert metrics(folder) == metrics(whole)
    assert [row["step"] for row in metrics(folder)] == [*range(1, STEPS + 1)]


def resume_folder(folder: Path) -> Path:
    (found,) = folder.glob("work/*/resume")
    return found


def kept_steps(folder: Path) -> list[int]:
    return sorted(int(path.name.split("-")[1]) for path in resume_folder(folder).glob("checkpoint-*"))


TRAIN, ROLLOUT = train_command(SHORT, 2), rollout_command(SHORT, 4)


@pytest.fixture(scope="module")
def runs(random_nano, tmp_path_factory) -> Path:
    """A folder with a model, and in `whole` a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "model").symlink_to(random_nano)
    for command in (TRAIN, ROLLOUT):
        assert live(command, folder / "whole", often_and_rewarded)[0]
    weights = [(folder / f"whole/out/adapters/step_{s}/adapter_model.safetensors").read_bytes() for s in ADAPTERS]
    assert len(set(weights)) == len(ADAPTERS)  # it learns
    return folder


@pytest.fixture(scope="module")
def unended(runs) -> Path:
    """A run that was killed before a checkpoint had its name, and again before its last line; to be copied."""
    folder = runs / "unended"
    assert not live(TRAIN, folder, often_and_rewarded, Kill(event="os.rename", ending="/checkpoint-2"))[0]
    assert kept_steps(folder) == []
    assert (resume_folder(folder) / ".partial/checkpoint-2" / checkpoints.MANIFEST).exists()
    assert not live(TRAIN, folder, often_and_rewarded, Kill(STEPS, "open", "/metrics.jsonl"))[0]
    assert kept_steps(folder) == [2, 4]
    assert len([*folder.glob("work/*/adapters/step_*")]) == len(ADAPTERS)  # all there, and yet not at its end
    return folder


def test_killed_before_a_checkpoint_has_its_name_and_before_the_last_line(runs, unended):
    folder = shutil.copytree(unended, runs / "killed")
    with next(folder.glob("work/*/metrics.jsonl")).open("a") as stream:
        stream.write('{"step": 5, "n"')
    assert live(TRAIN, folder, often_and_rewarded)[0]
    assert kept_steps(folder) == [4, 5]
    assert until_the_end(ROLLOUT, folder, iter([Kill(2, "os.rename", ".parquet")]), often_and_rewarded) == 1
    assert "with tiny, for 8 rollouts in 2 cells" in (runs / "killed.log").read_text()  # the first was kept
    assert_same_end(folder, runs / "whole")


def test_steps_that_are_done_again_replace_their_rollouts(runs):
    """Killed before step 4's are there: the run goes on from step 2, samples step 3 again, and has each step once."""
    folder = runs / "killed_at_rollouts"
    assert not live(TRAIN, folder, often_and_rewarded, Kill(event="os.rename", ending="/step_4.parquet"))[0]
    (kept,) = folder.glob(f"work/*/{FOLDER}")
    assert kept_steps(folder) == [2]
    assert sorted(path.name for path in kept.glob("step_*")) == [f"step_{step}.parquet" for step in (1, 2, 3)]
    assert [*kept.glob(".*")]  # what was being written
    step_file(kept, 3).write_bytes(b"of another drawing")
    assert live(TRAIN, folder, often_and_rewarded)[0]
    assert not [*kept.glob(".*")]
    assert differences(folder / "out" / FOLDER, runs / "whole/out" / FOLDER) == []
    frame = read_steps(folder / "out" / FOLDER, 1, STEPS)
    n_rows = 2 * 4
    assert list(zip(frame["step"], frame["row"], strict=True)) == [
        (step, row) for step in range(1, STEPS + 1) for row in range(n_rows)
    ]


def test_a_lost_step_of_rollouts_ends_the_run_with_one_line(runs):
    """At its very end, too: what is published is whole."""
    folder = shutil.copytree(runs / "whole", runs / "lost")
    (kept,) = folder.glob(f"work/*/{FOLDER}")
    step_file(kept, 2).unlink()
    with pytest.raises(
        AssertionError, match=r"error: work/\w+/training_rollouts/step_2.parquet: missing, and training is beyond"
    ):
        live(TRAIN, folder, often_and_rewarded)


def test_whole_models_are_resumed_alike_and_stored_once(random_nano, tmp_path):
    """Every weight is trained from the base on, which is step 0 and the reference; each later checkpoint is a model of
    its own, linked and not copied. What a killed run would go on from is gone at the end."""
    (tmp_path / "model").symlink_to(random_nano)
    command, whole, killed = train_command(SHORT, 2, lora=None), tmp_path / "whole", tmp_path / "killed"
    assert live(command, whole, often_and_rewarded)[0]
    kill = Kill(event="os.rename", ending="/checkpoint-4")
    assert not live(command, killed, often_and_rewarded, kill)[0]
    assert kept_steps(killed) == [2]
    assert live(command, killed, often_and_rewarded)[0]
    assert_same_end(killed, whole)
    assert not [*killed.glob("work/*/resume")]
    assert metrics(whole)[0]["task_kl"] == 0
    assert metrics(whole)[-1]["task_kl"] > 1e-6
    folders = sorted((whole / "out/models").iterdir())
    assert [folder.name for folder in folders] == ["step_2", "step_5"]
    base, *kept = (load_file(folder / "model.safetensors") for folder in (random_nano, *folders))
    for name, weights in base.items():
        assert not torch.equal(kept[1][name], weights)
        assert not torch.equal(kept[1][name], kept[0][name])
    for folder in folders:
        assert {file.stat().st_nlink for file in folder.iterdir()} == {2 if has_hard_links(tmp_path) else 1}
        loading.load_model(folder, "float32")
        assert loading.load_chat(folder, True).eos == loading.load_chat(random_nano, True).eos


@pytest.mark.parametrize(
    "file", ["adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", checkpoints.MANIFEST]
)
def test_a_damaged_checkpoint_is_named_and_moved_aside(tmp_path, file):
    said = []
    for step in (5, 10):
        written = tmp_path / f".partial/checkpoint-{step}"
        written.mkdir(parents=True)
        for name in ("adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth"):
            (written / name).write_bytes(os.urandom(1000))
        checkpoints.publish(written, tmp_path)
    os.truncate(tmp_path / "checkpoint-10" / file, 500 if file != checkpoints.MANIFEST else 50)
    assert checkpoints.newest(tmp_path, said.append) == str(tmp_path / "checkpoint-5")
    (warning,) = said
    assert warning.startswith(f"warning: {tmp_path}/checkpoint-10: {file} is ")
    assert "damaged-checkpoint-10" in warning
    assert (tmp_path / "damaged-checkpoint-10" / file).exists()
    (tmp_path / "checkpoint-5/optimizer.pt").unlink()
    assert checkpoints.newest(tmp_path, said.append) is None
    assert "optimizer.pt is missing" in said[1]
    assert checkpoints.newest(tmp_path, said.append) is None
    assert len(said) == 2


def test_a_damaged_newest_checkpoint_costs_the_steps_since_the_one_before(runs, unended):
    folder = shutil.copytree(unended, runs / "damaged")
    newest = resume_folder(folder) / "checkpoint-4"
    os.truncate(newest / "optimizer.pt", 1000)
    assert live(TRAIN, folder, often_and_rewarded)[0]
    assert f"{newest.relative_to(folder)}: optimizer.pt is damaged" in (runs / "damaged.log").read_text()
    assert (newest.parent / "damaged-checkpoint-4/optimizer.pt").stat().st_size == 1000
    assert live(ROLLOUT, folder, often_and_rewarded)[0]
    assert_same_end(folder, runs / "whole")


def test_a_lost_adapter_ends_the_run_with_one_line(tmp_path):
    folders = {step: tmp_path / f"adapters/step_{step}" for step in (0, 2, 4)}
    keeper = Keeper(tmp_path, folders, save=lambda *_: pytest.fail("step 3 is not kept"), main=True)
    state = type("State", (), {"global_step": 3})
    for step in (0, 4):
        folders[step].mkdir(parents=True)
    with pytest.raises(InputError, match=r"step_2: missing, and training is beyond it; delete"):
        keeper.on_train_begin(None, state, None, model=None)
    folders[2].mkdir()
    keeper.on_train_begin(None, state, None, model=None)
    assert sorted(path.name for path in (tmp_path / "adapters").iterdir()) == ["step_0", "step_2"]


def test_the_order_of_prompts_is_one_permutation_after_the_other():
    order = training.prompt_order(5, 13, seed=0)
    assert sorted(order[:5]) == sorted(order[5:10]) == [*range(5)]
    assert order[:5] != order[5:10]
    assert training.prompt_order(5, 100, seed=0)[:13] == order
    assert training.prompt_order(5, 13, seed=1) != order
    assert training.prompt_order(3, 2, seed=0) == training.prompt_order(3, 3, seed=0)[:2]


# -- at random moments -------------------------------------------------------------------------------------------------

KILLS = int(os.environ.get("CONFESSIONS_KILLS", "20"))
SCORE = json.dumps({"task": "word_count", "judge": {"kind": "label_trusting"}})


def score_command() -> list[str]:
    files = [(f"out/rollouts/step_{step}.parquet", f"out/scores/step_{step}.parquet") for step in ADAPTERS]
    return ["score-rollouts", "--spec", SCORE, *(w for a, b in files for w in ("--rollouts", a, "--out", b))]


def make_tables(folder: Path) -> dict[str, pd.DataFrame]:
    scores = {(0, step): folder / f"out/scores/step_{step}.parquet" for step in ADAPTERS}
    logged = tables.training({0: folder / "out/metrics.jsonl"}, STEPS, LABELS)
    return {
        "reproduction": tables.reproduction(scores, LABELS),
        "training": logged[logged["metric"] != "seconds"].reset_index(drop=True),
    }


def random_kills(n_operations: int, seconds: float, generator: random.Random) -> Iterator[Kill]:
    """Without end: before a file operation and after a time, in turn, all moments of an undisturbed life alike."""
    while True:
        yield Kill(generator.randint(1, n_operations))
        yield Kill(seconds=generator.uniform(0, seconds))


@pytest.mark.kill
def test_killed_at_random_moments(tmp_path, capsys):
    """The smallest embedded model with its real rewards: half of the kills in training, half in rollouts."""
    build({"kind": "nano", "size": "xs"}, tmp_path / "model")
    commands = {"train": train_command(LONG, 1), "rollout": rollout_command(LONG, 4)}
    generator, whole, kills = random.Random(0), tmp_path / "whole", {}
    for name, command in commands.items():
        start = time.monotonic()
        ended, n_operations = live(command, whole, often)
        assert ended
        kills[name] = random_kills(n_operations, time.monotonic() - start, generator)
    assert live(score_command(), whole)[0]
    expected, killed, rounds = make_tables(whole), dict.fromkeys(commands, 0), 0
    while min(killed.values()) < KILLS // 2:
        folder, rounds = tmp_path / f"round{rounds}", rounds + 1
        for name, command in commands.items():
            rest = kills[name] if killed[name] < KILLS // 2 else iter(())
            killed[name] += until_the_end(command, folder, rest, often)
        assert live(score_command(), folder)[0]
        assert_same_end(folder, whole)
        for name, table in make_tables(folder).items():
            pd.testing.assert_frame_equal(table, expected[name], check_exact=True)
        for step in ADAPTERS:
            loading.check_adapter(folder / f"out/adapters/step_{step}", tmp_path / "model")
        with capsys.disabled():
            print(f"round {rounds}: killed so far {killed}, all equal")
