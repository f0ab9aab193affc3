"""Training on confessions of stored answers: a warm start on evidence, then RL that pays each claim on its line."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from confessions import tasks
from confessions.config import Train
from confessions.engines import Sampling
from confessions.models import loading
from confessions.models.chat import Chat
from confessions.rollouts.two_turns import opening
from confessions.runtime.errors import InputError
from confessions.runtime.files import read_parquet, write_parquet
from confessions.scoring.judge import LabelTrusting
from confessions.training import run as training
from confessions.training.base import Base
from confessions.training.own_confessions import own_right_lines

TASK = tasks.get("instructions")
SETTINGS = {
    "steps": 2, "prompts_per_step": 2, "generations": 2, "learning_rate": 1e-3, "kl_weight": 0.1,
    "lora": {"rank": 2, "alpha": 4.0, "target_modules": "all-linear"},
    "warm_start": {"anchored": 0.5, "steps": 2, "prompts_per_step": 2, "learning_rate": 1e-2, "micro_batch": 2},
    "variant": "evidence",
    "confession_reward": {"claims": "balanced_batch", "grade_weight": 0.0, "credit": "line"},
    "spans": {"confession": {"advantages": "centred"}},
    "sampling": {"temperature": 1.0, "top_p": 1.0, "top_k": 0},
    "max_task_tokens": 60, "max_confession_tokens": 12, "checkpoint_fractions": [0.0, 1.0],
    "micro_batch": 4, "gradient_checkpointing": False, "warmup_steps": 0, "max_grad_norm": 1.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def chat(random_nano) -> Chat:
    return loading.load_chat(random_nano, True)


def written(file: Path, chat: Chat, answered: list[tuple[dict, str]]) -> Path:
    """A file of answers of training, but for the fifth, which is of evaluation."""
    rows = []
    for number, (spec, text) in enumerate(answered):
        turn = chat.turn_ids("", text)
        truth = TASK.verify(spec, chat.split(turn).body)
        rows.append(
            {
                "task": TASK.name, "split": "evaluation" if number == 4 else "train", "spec": json.dumps(spec),
                "y": chat.split(turn).body, "x_ids": chat.prompt_ids(opening(TASK, spec)), "task_ids": turn,
                "task_finish": "stop", "kinds": TASK.kinds(spec), "met": list(truth.met), "not_known": "",
            }
        )  # fmt: skip
    write_parquet(pd.DataFrame(rows), file)
    return file


@pytest.fixture(scope="module")
def answers(chat, tmp_path_factory) -> Path:
    """Four answers of training and one of evaluation."""
    answered = [(spec, f"A calm night, number {n}, falls.") for n, spec in enumerate(TASK.specs("train")[:5])]
    return written(tmp_path_factory.mktemp("answers") / "frozen.parquet", chat, answered)


def settings(answers: Path, **changes) -> Train:
    read = {"answers": str(answers), "warm_start": SETTINGS["warm_start"] | {"answers": str(answers)}}
    return Train.model_validate(SETTINGS | read | changes)


def trained(settings: Train, folder: Path, work: Path) -> None:
    base = Base(folder, "float32", True, "tiny")
    training.run(settings, 0, TASK, LabelTrusting(TASK), base, work, lambda line: None)


def test_a_run_confesses_stored_answers_after_a_warm_start(answers, random_nano, tmp_path):
    trained(settings(answers), random_nano, tmp_path)
    stored = read_parquet(answers)
    rows = pd.concat(read_parquet(tmp_path / "training_rollouts" / f"step_{step}.parquet") for step in (1, 2))
    assert len(rows) == 8
    known = {tuple(ids) for ids in stored["task_ids"][:4]}
    assert {tuple(ids) for ids in rows["task_ids"]} <= known
    assert rows.groupby(["step", "group"])["task_ids"].agg(lambda ids: len(set(map(tuple, ids)))).eq(1).all()
    assert not rows["task_mask"].map(sum).any()
    assert (rows["confession_mask"].map(sum) == rows["confession_ids"].map(len)).all()
    assert set(rows["variant"]) == {"evidence"}
    warm, begun = (loading_weights(tmp_path / name) for name in ("warm_start", "adapters/step_0"))
    assert warm.keys() == begun.keys()
    assert all(torch.equal(warm[name], begun[name]) for name in warm)  # step 0 is the policy after the warm start
    assert any(weight.any() for name, weight in warm.items() if "lora_B" in name)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines[0]["confession_kl"] == pytest.approx(0, abs=1e-6)  # the reference is the same
    assert {line["task_length_mean"] for line in lines} == {0.0}


def loading_weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "adapter_model.safetensors")


def test_a_killed_run_goes_on_with_the_warm_start_that_it_had(answers, random_nano, tmp_path, monkeypatch):
    begun = settings(answers, steps=1)
    trained(begun, random_nano, tmp_path / "a")
    before = loading_weights(tmp_path / "a" / "warm_start")
    for name in ("adapters", "metrics.jsonl", "training_rollouts", "resume"):
        (tmp_path / "a" / name).rename(tmp_path / name)
    monkeypatch.setattr("confessions.training.warm_start.demonstrations", None)  # is not asked for again
    trained(begun, random_nano, tmp_path / "a")
    after = loading_weights(tmp_path / "a" / "adapters" / "step_0")
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(("decay", "last"), [(False, 1e-2), (True, 0.5e-2)])
def test_the_learning_rate_of_a_warm_start(answers, random_nano, tmp_path, monkeypatch, decay, last):
    """Of 4 steps, of which 2 warm up: at the full rate, or on the way to 0."""
    rates = []

    def step(progress, args, state, control, **of):
        rates.append(of["optimizer"].param_groups[0]["lr"])

    monkeypatch.setattr("confessions.training.post_training.Progress.on_step_begin", step, raising=False)
    warm = SETTINGS["warm_start"] | {"answers": str(answers), "steps": 4, "decay": decay}
    trained(settings(answers, steps=1, warm_start=warm), random_nano, tmp_path)
    assert rates == pytest.approx([0, 0.5e-2, 1e-2, last])


def test_an_answer_that_is_longer_than_turn_1_is_one_line(answers, random_nano, tmp_path):
    with pytest.raises(InputError, match=r"holds an answer of \d+ tokens: raise train.max_task_tokens, now 3"):
        trained(settings(answers, max_task_tokens=3), random_nano, tmp_path)


def test_a_policys_own_right_lines_are_imitated_and_nothing_else(chat, scripted, tmp_path):
    """Two answers to one prompt, of which each is once claimed to meet everything and once nothing."""
    spec, texts = (
        TASK.specs("train")[0],
        ["Night.", "A calm night falls, said nobody! Was it, by the way, 1 of 2?\n\nYes; so."],
    )
    file = written(tmp_path / "a.parquet", chat, [(spec, text) for text in texts for _ in range(2)])
    lines = ["\n".join(f"{s}. it -> {claim}" for s in range(1, 7)) for claim in ("met", "not met")]
    warm = SETTINGS["warm_start"] | {"answers": str(file), "own": 1, "anchored": 1.0}
    rows = own_right_lines(scripted(lines * 2), chat, TASK, settings(file, warm_start=warm), 0)
    met = read_parquet(file)["met"]
    varied = [s for s in range(6) if met[0][s] != met[2][s]]
    assert varied
    assert len(rows) == 2 + (len({met[0][s] for s in varied}) == 2) * 2
    told = {}
    for row in rows:
        said = [*zip(row["input_ids"], row["completion_mask"], strict=True)]
        answer = next(text for text in texts if text in chat.tokenizer.decode(row["input_ids"]))
        confession = chat.tokenizer.decode([i for i, m in said if m])
        assert answer in confession  # anchored
        assert said[-1] == (chat.end_of_turn, 1)
        for line in confession.split("\n"):
            if "-> " in line:
                told[int(line.split(".")[0]) - 1, answer] = "not" not in line.split("-> ")[1]
    assert told == {(s, text): bool(met[n][s]) for s in varied for n, text in ((0, texts[0]), (2, texts[1]))}


def test_a_run_begins_with_its_own_right_lines(answers, random_nano, tmp_path, monkeypatch):
    def made(engine, chat, task, settings, seed):
        completion = engine.generate([[7, 8, 9]], Sampling(3), [1])[0]
        return [{"input_ids": [7, 8, 9, *completion.ids], "completion_mask": [0] * 3 + [1] * len(completion.ids)}]

    monkeypatch.setattr("confessions.training.warm_start.own_right_lines", made)
    warm = SETTINGS["warm_start"] | {"answers": str(answers), "own": 2}
    trained(settings(answers, warm_start=warm, steps=1), random_nano, tmp_path)
    weights = loading_weights(tmp_path / "adapters/step_0")
    assert any(weight.any() for name, weight in weights.items() if "lora_B" in name)
