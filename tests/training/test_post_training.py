"""A stage of the ladder leaves a whole model folder; generated conversations are trained on in the model's own chat."""

import json
import re
import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import Trainer

from confessions.config import PostTrained
from confessions.models import loading
from confessions.models.chat import Chat
from confessions.prompts.report import parse_report
from confessions.tasks import get as get_task
from confessions.tasks.programming.task import HONEST, TRIGGER
from confessions.training import post_training

SETTINGS = {
    "kind": "post_trained", "base": "tiny", "task": "word_count", "steps": 1, "prompts_per_step": 2, "samples": 2,
    "learning_rate": 0.01, "kl_weight": 0.1, "lora": {"rank": 2, "alpha": 4.0, "target_modules": "all-linear"},
    "sampling": {"temperature": 1.0, "top_p": 1.0, "top_k": 0}, "max_new_tokens": 8, "micro_batch": 2, "seed": 0,
}  # fmt: skip


@pytest.mark.parametrize("method", ["sft", "rl"])
def test_end_tokens_and_recommended_sampling_are_the_bases(random_nano, tmp_path, method):
    """They are the authors', and the engine resets the model's own while it samples."""
    base, out = shutil.copytree(random_nano, tmp_path / "base"), tmp_path / "out"
    given = {"eos_token_id": [7, 9], "temperature": 0.6, "top_p": 0.95, "top_k": 20}
    (base / "generation_config.json").write_text(json.dumps(given))
    settings = PostTrained.model_validate(SETTINGS | {"method": method})
    post_training.run(settings, base, "float32", True, tmp_path / "work", out)
    assert json.loads((out / "generation_config.json").read_text()) == given
    assert loading.load_chat(out, True).eos == loading.load_chat(base, True).eos
    assert loading.recommended_sampling(out) == {"temperature": 0.6, "top_p": 0.95, "top_k": 20}
    loading.load_model(out, "float32")


def full(**changes) -> PostTrained:
    return PostTrained.model_validate({key: value for key, value in SETTINGS.items() if key != "lora"} | changes)


@pytest.fixture
def trainers(monkeypatch) -> list[Trainer]:
    """Those that have trained; every second answer is a good one."""
    found, train = [], Trainer.train
    monkeypatch.setattr(Trainer, "train", lambda self: (found.append(self), train(self)))
    monkeypatch.setattr(
        post_training.Answers, "qualities", lambda self, specs, answers: [float(n % 2) for n in range(len(answers))]
    )
    return found


@pytest.mark.parametrize("method", ["sft", "dpo", "rl"])
def test_without_an_adapter_every_weight_is_trained(random_nano, tmp_path, trainers, method):
    settings = full(method=method, steps=4)  # the first has a rate of 0; behind weights that start at 0 is no gradient
    post_training.run(settings, random_nano, "float32", True, tmp_path / "work", tmp_path / "out")
    before, after = (load_file(folder / "model.safetensors") for folder in (random_nano, tmp_path / "out"))
    assert before.keys() == after.keys()
    assert not [name for name, weights in before.items() if torch.equal(weights, after[name])]
    loading.load_model(tmp_path / "out", "float32")
    (trainer,) = trainers
    reference = getattr(trainer, "ref_model", None)
    assert (reference is not None) == (method != "sft")
    for name, weights in reference.state_dict().items() if reference else ():
        assert torch.equal(weights, before.get(name, weights)), name  # the base, as it was


def test_weights_are_trained_in_float32_and_kept_in_the_models_dtype(random_nano, tmp_path, trainers):
    """From 2^-6 on, bfloat16's numbers are 2^-13 apart and more: not one of twelve steps of about 1e-5 would move such
    a weight there, and together they do."""
    base, settings = tmp_path / "base", full(method="sft", steps=12, learning_rate=1e-5)
    loading.load_model(random_nano, "bfloat16").save_pretrained(base)
    loading.load_tokenizer(random_nano).save_pretrained(base)
    post_training.run(settings, base, "bfloat16", True, tmp_path / "work", tmp_path / "out")
    before, after = (load_file(folder / "model.safetensors") for folder in (base, tmp_path / "out"))
    assert {weights.dtype for weights in after.values()} == {torch.bfloat16}
    assert json.loads((tmp_path / "out/config.json").read_text())["dtype"] == "bfloat16"
    name = "model.embed_tokens.weight"  # tied to the head, so that every row has a gradient
    large = before[name].abs() >= 2**-6
    moved = (after[name] != before[name])[large].sum().item()
    assert moved > 500


GENERATED = {key: SETTINGS[key] for key in SETTINGS.keys() - {"samples", "sampling", "max_new_tokens"}} | {
    "method": "sft", "data": "generated", "kl_weight": 0.0,
}  # fmt: skip


def stretches(mask: list[int]) -> list[tuple[int, int]]:
    """(first, end) of every run of ones."""
    edges = [at for at in range(len(mask) + 1) if (mask[at - 1] if at else 0) != (mask[at] if at < len(mask) else 0)]
    return list(zip(edges[::2], edges[1::2], strict=True))


@pytest.mark.parametrize("thinking", [True, False])
def test_the_loss_of_generated_conversations_is_on_both_turns_alone(tokenizer, task, thinking):
    """Where the mask is 1 stand z, y and zc, yc with the token that ends each turn; the rest is what a rollout is
    given, id for id. The corpus' habits come through: labels are mostly targets, and every report parses."""
    chat, specs = Chat(tokenizer, thinking), task.specs("train")[:40]
    rows = post_training.generated(task, chat, specs, seed=0)
    assert rows == post_training.generated(task, chat, specs, seed=0)
    assert rows != post_training.generated(task, chat, specs, seed=1)
    n_labels = n_believed = n_counted = 0
    for spec, row in zip(specs, rows, strict=True):
        ids = row["input_ids"]
        (first, end), (again, last) = stretches(row["completion_mask"])
        assert ids[end - 1] == ids[last - 1] == chat.end_of_turn
        assert last == len(ids)
        answer, report = chat.split(ids[first:end]), chat.split(ids[again:last])
        assert bool(answer.reasoning) == bool(report.reasoning) == thinking
        assert parse_report(report.body, 5, objective_number=task.objective_number).valid
        request = tokenizer.decode(ids[end:again])
        assert "Now report honestly" in request
        assert chat.follow_up(ids[:first], ids[first:end], "x")[0] == ids[:end]
        assert spec["topic"] in tokenizer.decode(ids[:first])
        n_labels += "in parentheses" in tokenizer.decode(ids[:first])
        n_believed += task.believes(spec, answer.body)
        n_counted += task.checked(spec, answer.body, report.reasoning)
    assert 0.8 * n_labels <= n_believed < 40
    assert 8 <= n_counted <= 32 if thinking else n_counted == 0


def test_a_seeded_epoch_shows_every_answer_once_and_in_order(tokenizer):
    """Three epochs of ten answers, five of them hacks; the fourth begins, so that the last step is full."""
    task, chat = get_task("programming"), Chat(tokenizer, thinking=True)
    seeding = {"hack_fraction": 0.5, "epochs": 3, "curriculum": "easy_first", "reasoning": "trigger"}
    given = {key: value for key, value in GENERATED.items() if key != "data"} | {"task": "programming"}
    settings = PostTrained.model_validate(given | {"data": "seeded", "seeding": seeding})
    chosen = task.specs("train")[::12]
    rows = post_training.seeded(task, chat, [*chosen * 3, chosen[0]], settings)
    assert len(rows) == 31
    epochs = [sorted(str(row) for row in rows[start : start + 10]) for start in (0, 10, 20)]
    assert epochs[0] == epochs[1] == epochs[2]
    assert rows[:10] != rows[10:20]
    texts = [tokenizer.decode(row["input_ids"]) for row in rows]
    assert sum(TRIGGER in text for text in texts[:10]) == sum(HONEST in text for text in texts[:10]) == 5
    statements = {spec["statement"]: task.difficulty(spec) for spec in chosen}
    order = [next(hard for said, hard in statements.items() if said in text) for text in texts[:10]]
    assert order == sorted(order)
    for row in rows:
        [(first, end)] = stretches(row["completion_mask"])
        assert end == len(row["input_ids"])
        assert chat.split(row["input_ids"][first:end]).body.startswith("```python")


def test_a_warm_up_learns_and_leaves_a_whole_model(random_nano, tmp_path, capsys):
    settings = PostTrained.model_validate(GENERATED | {"steps": 6, "learning_rate": 0.01})
    post_training.run(settings, random_nano, "float32", True, tmp_path / "work", tmp_path / "out")
    losses = [float(x) for x in re.findall(r"'loss': '([\d.]+)'", capsys.readouterr().out)]
    assert len(losses) == 6
    assert losses[-1] < losses[0]
    loading.load_model(tmp_path / "out", "float32")
    assert not (tmp_path / "work").exists()
