"""Training on confessions of stored answers: a warm start on evidence, then RL that pays each claim on its line."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest
import torch

from confessions import tasks
from confessions.config import Train
from confessions.models import loading
from confessions.models.chat import Chat
from confessions.prompts.report import written_findings
from confessions.rollouts.two_turns import opening
from confessions.runtime.errors import InputError
from confessions.runtime.files import read_parquet, write_parquet
from confessions.scoring.judge import LabelTrusting
from confessions.training import run as training
from confessions.training.advantages import centred, token_coefficients
from confessions.training.credit import entropy_bonus, line_advantages, lines_of_tokens

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


@pytest.fixture(scope="module")
def answers(chat, tmp_path_factory) -> Path:
    """Four answers of training and one of evaluation."""
    rows = []
    for number, spec in enumerate(TASK.specs("train")[:5]):
        turn = chat.turn_ids("", f"A calm night, number {number}, falls.")
        truth = TASK.verify(spec, chat.split(turn).body)
        rows.append(
            {
                "task": TASK.name, "split": "train" if number < 4 else "evaluation", "spec": json.dumps(spec),
                "y": chat.split(turn).body, "x_ids": chat.prompt_ids(opening(TASK, spec)), "task_ids": turn,
                "task_finish": "stop", "kinds": TASK.kinds(spec), "met": list(truth.met), "not_known": "",
            }
        )  # fmt: skip
    file = tmp_path_factory.mktemp("answers") / "frozen.parquet"
    write_parquet(pd.DataFrame(rows), file)
    return file


def settings(answers: Path, **changes) -> Train:
    read = {"answers": str(answers), "warm_start": SETTINGS["warm_start"] | {"answers": str(answers)}}
    return Train.model_validate(SETTINGS | read | changes)


def trained(settings: Train, folder: Path, work: Path) -> None:
    base = loading.fingerprint(folder)
    training.run(settings, 0, TASK, LabelTrusting(TASK), folder, "float32", True, base, "tiny", work, lambda line: None)


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


def test_an_answer_that_is_longer_than_turn_1_is_one_line(answers, random_nano, tmp_path):
    with pytest.raises(InputError, match=r"holds an answer of \d+ tokens: raise train.max_task_tokens, now 3"):
        trained(settings(answers, max_task_tokens=3), random_nano, tmp_path)


def test_a_token_is_paid_for_the_claim_on_its_line(chat):
    text = "So:\n" + written_findings(["last word night", "commas = 2"], [True, False])
    ids = chat.turn_ids("I check.", text)
    start = chat.split(ids).body_start
    about, claims = lines_of_tokens(chat, ids, start, "evidence", 2)
    spelt = {s: "".join(p for p, a in zip(chat.pieces(ids), about, strict=True) if a == s) for s in (0, 1)}
    assert spelt[0].strip() == "1. last word night -> met"
    assert spelt[1].strip() == "2. commas = 2 -> not met"
    assert about[:start] == [None] * start
    assert about[-1] is None  # the end of the turn is the report's
    assert [chat.tokenizer.decode(ids[at:]).split("\n")[0].strip()[:3] for at in claims] == ["met", "not"]
    assert lines_of_tokens(chat, ids, start, "evidence", 3) == ([None] * len(ids), [])  # not so many findings


def test_an_entropy_bonus_is_what_surprises_more_than_the_others():
    assert entropy_bonus([[-1.0, -3.0], [], [-2.0]], 0.5) == [[-0.5, 0.5], [], [0.0]]
    assert entropy_bonus([[], []], 0.5) == [[], []]


def test_advantages_of_lines_are_among_those_about_the_same_objective():
    nan = math.nan
    lines_BS = torch.tensor([[0.5, 0.0, nan], [0.0, 0.0, nan], [0.25, 1.0, 0.5], [0.25, 0.0, 0.0]])
    expected = torch.tensor([[0.5, 0, 0], [-0.5, 0, 0], [0, 1.5, 0.75], [0, -1.5, -0.75]])
    assert torch.allclose(line_advantages(lines_BS, centred, 2), expected)
    by_token_BT, mask_BT = torch.tensor([[0.0, 2.0, -1.0]]), torch.tensor([[0.0, 1.0, 1.0]])
    assert token_coefficients(by_token_BT, mask_BT, 2.0, 10.0).tolist() == [[0.0, 10.0, -5.0]]
