"""The dual-span trainer against an independent float64 computation, and TRL's contract that it leans on."""

import copy
import inspect
import json
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM
from transformers.modeling_layers import GradientCheckpointingLayer
from trl import GRPOTrainer

from confessions.config import Train
from confessions.engines import Completion
from confessions.models import loading
from confessions.models.chat import Chat, Turn
from confessions.nano.recipe import Shape, corpus_texts, new_model
from confessions.nano.tokenizer import build_tokenizer
from confessions.rollouts.two_turns import Rollout
from confessions.runtime.errors import InputError
from confessions.scoring.judge import JudgeError, LabelTrusting
from confessions.scoring.scores import score_rollout
from confessions.tasks import get as get_task
from confessions.training import run as training
from confessions.training import trainer as module
from confessions.training.trainer import DualSpanGRPOTrainer

TASK = get_task("word_count")
SPEC = TASK.specs("train")[0]
SETTINGS = {
    "steps": 1, "prompts_per_step": 2, "generations": 2, "learning_rate": 1e-3, "kl_weight": 0.3,
    "lora": {"rank": 2, "alpha": 4.0, "target_modules": "all-linear"},
    "confession_reward": {"claims": "plain", "grade_weight": 0.2},
    "sampling": {"temperature": 1.0, "top_p": 1.0, "top_k": 0},
    "max_task_tokens": 20, "max_confession_tokens": 30, "checkpoint_fractions": [0.0, 1.0],
    "micro_batch": 4, "gradient_checkpointing": False, "warmup_steps": 0, "max_grad_norm": 1.0,
}  # fmt: skip


@pytest.fixture
def tiny64():
    """A float64 nano of one layer and its chat."""
    tokenizer = build_tokenizer(corpus_texts())
    torch.manual_seed(0)
    return new_model(tokenizer, Shape(hidden=16, layers=1, heads=2, kv_heads=2, feed_forward=16)).double(), Chat(
        tokenizer, True
    )


def make_trainer(tiny, tmp_path, **changes) -> DualSpanGRPOTrainer:
    model, chat = tiny
    settings = Train.model_validate(SETTINGS | changes)
    trainer = DualSpanGRPOTrainer(
        model=model,
        args=training.trainer_arguments(settings, 0, tmp_path, "float32"),
        task=TASK,
        judge=LabelTrusting(TASK),
        settings=settings,
        chat=chat,
        dataset=Dataset.from_dict({"prompt": [json.dumps(SPEC)] * 4}),
        peft_config=loading.lora_config(settings.lora) if settings.lora else None,
    )
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
    return trainer


def fake_rollout(seed: int, truncated: bool = False) -> Rollout:
    """Random ids of uneven lengths; what the rewards are is set apart from what was sampled."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(2, 9, (4,), generator=generator).tolist()
    x, task, xc, confession = (torch.randint(5, 40, (n,), generator=generator).tolist() for n in lengths)
    reason = "length" if truncated else "stop"
    return Rollout(
        SPEC, "baseline", "default", "", "", x, Completion(task, [0.0] * len(task), reason), xc,
        Completion(confession, [0.0] * len(confession), reason), Turn("", "", 0, True), Turn("", "", 0, True),
    )  # fmt: skip


def prepared(trainer, monkeypatch, rollouts, task_rewards, confession_rewards) -> dict[str, torch.Tensor]:
    """The trainer's inputs of one step for these rollouts and rewards."""
    monkeypatch.setattr(trainer, "_task_rewards", None, raising=False)
    trainer.reward_funcs = [lambda **_: task_rewards, lambda **_: confession_rewards]
    trainer.rollout_func = lambda prompts, _: {
        "prompt_ids": [r.x_ids for r in rollouts],
        "completion_ids": [r.completion_ids for r in rollouts],
        "logprobs": [r.logprobs for r in rollouts],
        "env_mask": [r.spans.generated_mask() for r in rollouts],
        "rollout": rollouts,
    }
    score = score_rollout(TASK, SPEC, "", "") | {"judge_pass": False}
    monkeypatch.setattr(module, "score_rollouts", lambda task, said: [dict(score) for _ in said])
    trainer.model.train()
    return trainer._generate_and_score_completions([{"prompt": json.dumps(SPEC)} for _ in rollouts])


def disturb_adapter(model) -> None:
    """Give LoRA's B matrices values, so that the policy is not its own reference."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype) * 0.05)


def disturb_weights(model) -> None:
    """The same where there is no adapter."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype) * 0.05


def plain_loss(
    model, rollouts, task_advantages, confession_advantages, beta, longest, reference_model=None
) -> torch.Tensor:
    """The loss written down from its definition, row by row, without padding, masks or TRL. The reference is the model
    without its adapter where none is given."""
    n_task = sum(len(r.task.ids) for r in rollouts if not r.stored)
    n_confession = sum(len(r.confession.ids) for r in rollouts)
    loss = torch.zeros((), dtype=torch.float64)
    for r, a_task, a_confession in zip(rollouts, task_advantages, confession_advantages, strict=True):
        ids = torch.tensor([r.x_ids + r.completion_ids])

        def logps(model=model, ids=ids):
            logits = model(input_ids=ids).logits[0, :-1]
            return torch.log_softmax(logits, -1).gather(-1, ids[0, 1:, None])[:, 0]

        policy = logps()
        with torch.no_grad(), nullcontext() if reference_model else model.disable_adapter():
            reference = logps(reference_model or model)
        first = len(r.x_ids) - 1
        starts = {"task": first, "confession": first + len(r.task.ids) + len(r.xc_ids)}
        spans = (
            (starts["task"], len(r.task.ids), n_task, a_task),
            (starts["confession"], len(r.confession.ids), n_confession, a_confession),
        )
        for start, n, total, advantage in spans[r.stored :]:  # a stored turn 1 is no span's
            p, q = policy[start : start + n], reference[start : start + n]
            ratio = (p - p.detach()).exp()  # 1, but its gradient counts, in the KL term too (unbiased reverse KL)
            loss = loss - (advantage * ratio).sum() / total
            loss = loss + beta * (ratio * ((q - p).exp() - (q - p) - 1)).sum() / (len(rollouts) * longest)
    return loss


def gradients(model) -> dict[str, torch.Tensor]:
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


@pytest.mark.parametrize("truncated", [False, True])
def test_loss_and_gradient_equal_a_plain_float64_computation(tiny64, tmp_path, monkeypatch, truncated):
    trainer = make_trainer(tiny64, tmp_path)
    model = trainer.accelerator.unwrap_model(trainer.model).double()
    disturb_adapter(model)
    rollouts = [fake_rollout(seed, truncated) for seed in range(4)]
    inputs = prepared(trainer, monkeypatch, rollouts, [1.0, 0.0, 0.25, 1.0], [0.3, 0.9, 0.5, 0.5])
    loss = trainer.compute_loss(trainer.model, inputs)
    loss.backward()
    ours = gradients(model)

    half = 0.5 / (0.5**0.5 + 1e-4), 0.375 / (0.75 / 2**0.5 + 1e-4), 0.3 / (0.6 / 2**0.5 + 1e-4)
    expected = plain_loss(
        model, rollouts, [half[0], -half[0], -half[1], half[1]], [-half[2], half[2], 0.0, 0.0], 0.3, 50
    )
    expected.backward()
    plain = gradients(model)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert ours.keys() == plain.keys()
    assert all("lora_" in name for name in ours)
    for name, gradient in ours.items():  # TRL's log-probabilities are float32
        torch.testing.assert_close(gradient, plain[name], rtol=1e-4, atol=1e-6)
    assert max(g.abs().max() for g in ours.values()) > 1e-2


def test_without_an_adapter_every_weight_has_its_gradient_and_the_start_is_the_reference(tiny64, tmp_path, monkeypatch):
    start, chat = tiny64
    start.save_pretrained(tmp_path / "start")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "start", dtype=torch.float64)
    trainer = make_trainer((model, chat), tmp_path, lora=None)
    disturb_weights(model)
    rollouts = [fake_rollout(seed) for seed in range(4)]
    inputs = prepared(trainer, monkeypatch, rollouts, [1.0, 0.0, 0.0, 1.0], [0.5, 0.5, 0.5, 0.5])
    loss = trainer.compute_loss(trainer.model, inputs)
    loss.backward()
    ours = gradients(model)

    half = 0.5 / (0.5**0.5 + 1e-4)
    plain_loss(model, rollouts, [half, -half, -half, half], [0.0] * 4, 0.3, 50, start).backward()
    plain = gradients(model)
    assert ours.keys() == plain.keys() == {name for name, _ in model.named_parameters()}
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, plain[name], rtol=1e-4, atol=1e-6)
    policy_alone = plain_loss(model, rollouts, [half, -half, -half, half], [0.0] * 4, 0.3, 50, model)
    assert loss.item() > policy_alone.item() + 1e-3  # the penalty is not that of the policy to itself


def test_weights_that_are_trained_in_float32_are_sampled_in_bfloat16(tiny64, tmp_path, monkeypatch):
    """As the checkpoint will be that is made of them; and they are trained on as they were."""
    start, chat = tiny64
    trainer = make_trainer((start.float(), chat), tmp_path, lora=None, kl_weight=0.0)
    before, trainer.args.bf16, seen = copy.deepcopy(start.state_dict()), True, []
    monkeypatch.setattr(
        module,
        "two_turns",
        lambda engine, *_, **__: seen.append({p.dtype for p in engine.model.parameters()}) or [fake_rollout(0)] * 2,
    )
    module._rollouts([json.dumps(SPEC)] * 2, trainer)
    assert seen == [{torch.bfloat16}]
    after = start.state_dict()
    assert all(
        torch.equal(weights, after[name]) and after[name].dtype == torch.float32 for name, weights in before.items()
    )


def test_micro_batches_add_up_to_the_whole_batch(tiny64, tmp_path, monkeypatch):
    rollouts = [fake_rollout(seed) for seed in range(4)]
    rewards = [1.0, 0.0, 0.25, 1.0], [0.3, 0.9, 0.5, 0.5]
    trainer = make_trainer(tiny64, tmp_path, micro_batch=2)
    disturb_adapter(trainer.accelerator.unwrap_model(trainer.model))
    inputs = prepared(trainer, monkeypatch, rollouts, *rewards)
    halves = [{k: v[i : i + 2] if v.ndim else v for k, v in inputs.items()} for i in (0, 2)]
    parts = sum(trainer.compute_loss(trainer.model, half).item() for half in halves)
    trainer.current_gradient_accumulation_steps = 1
    assert parts == pytest.approx(trainer.compute_loss(trainer.model, inputs).item(), rel=1e-6)


def test_a_row_alone_is_read_without_padding(tiny64, tmp_path, monkeypatch):
    """Micro-batches of one: policy and reference see no padding, and the loss is the whole batch's."""
    rollouts = [fake_rollout(seed) for seed in range(4)]
    trainer = make_trainer(tiny64, tmp_path, micro_batch=1)
    disturb_adapter(trainer.accelerator.unwrap_model(trainer.model))
    masks, original = [], trainer.model.forward

    def watched(*args, **kwargs):
        masks.append(kwargs["attention_mask"])
        return original(*args, **kwargs)

    monkeypatch.setattr(trainer.model, "forward", watched)
    inputs = prepared(trainer, monkeypatch, rollouts, [1.0, 0.0, 0.25, 1.0], [0.3, 0.9, 0.5, 0.5])
    alone = [{k: v[i : i + 1] if v.ndim else v for k, v in inputs.items()} for i in range(4)]
    parts = sum(trainer.compute_loss(trainer.model, row).item() for row in alone)
    lengths = [len(r.x_ids) + len(r.completion_ids) for r in rollouts]
    assert [tuple(mask.shape) for mask in masks] == [(1, n) for n in lengths * 2]
    assert len(set(lengths)) > 1
    assert all(mask.all() for mask in masks)
    trainer.current_gradient_accumulation_steps = 1
    assert parts == pytest.approx(trainer.compute_loss(trainer.model, inputs).item(), rel=1e-6)


def test_compiled_layers_train_alike_and_sample_eagerly(tiny64, tmp_path, monkeypatch):
    graphs, compile_layer = [], GradientCheckpointingLayer.compile

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(
        GradientCheckpointingLayer, "compile", lambda self, **options: compile_layer(self, backend=backend, **options)
    )
    rollouts = [fake_rollout(seed) for seed in range(4)]
    model, chat = tiny64
    losses, found = [], []
    for compiled in (False, True):
        torch.manual_seed(3)  # of the adapter
        trainer = make_trainer((copy.deepcopy(model), chat), tmp_path, compile_layers=compiled, micro_batch=2)
        disturb_adapter(trainer.accelerator.unwrap_model(trainer.model))
        inputs = prepared(trainer, monkeypatch, rollouts, [1.0, 0.0, 0.25, 1.0], [0.3, 0.9, 0.5, 0.5])
        for start in (0, 2):
            loss = trainer.compute_loss(
                trainer.model, {k: v[start : start + 2] if v.ndim else v for k, v in inputs.items()}
            )
            loss.backward()
            losses.append(loss.item())
        found.append(gradients(trainer.model))
        assert bool(graphs) == compiled
    assert losses[:2] == pytest.approx(losses[2:], rel=1e-6)
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-6, atol=1e-9)
    graphs.clear()
    assert len(module._rollouts([json.dumps(SPEC)] * 2, trainer)["rollout"]) == 2
    assert not graphs


def test_request_tokens_get_exactly_no_gradient(tiny64, tmp_path, monkeypatch):
    """The loss does not move when the log-probabilities of scaffold and request do; on every other token it does."""
    trainer = make_trainer(tiny64, tmp_path)
    rollouts = [fake_rollout(seed) for seed in range(4)]
    inputs = prepared(trainer, monkeypatch, rollouts, [1.0, 0.0, 0.25, 1.0], [0.3, 0.9, 0.1, 0.5])
    leaves = []

    def score_tokens(model, ids, mask, n_completion, rows, aux_loss):
        leaves.append(torch.zeros((len(rows), n_completion), dtype=torch.float64, requires_grad=True))
        return leaves[0], torch.zeros(leaves[0].shape), None

    monkeypatch.setattr(trainer, "_score_tokens", score_tokens)
    trainer.compute_loss(trainer.model, inputs).backward()
    generated = torch.zeros(leaves[0].shape, dtype=torch.bool)
    for row, r in enumerate(rollouts):
        generated[row, : len(r.completion_ids)] = torch.tensor(r.spans.generated_mask()).bool()
    assert (leaves[0].grad[~generated] == 0).all()
    assert (leaves[0].grad[generated] != 0).all()


def test_only_sampled_tokens_are_scored(tiny64, tmp_path, monkeypatch):
    """The output head is applied to no token of the request."""
    trainer = make_trainer(tiny64, tmp_path, micro_batch=1)
    rollouts = [fake_rollout(seed) for seed in range(4)]
    scored, original = [], trainer.model.forward

    def watched(*args, **kwargs):
        scored.append((kwargs["labels"] != -100).sum().item())
        return original(*args, **kwargs)

    monkeypatch.setattr(trainer.model, "forward", watched)
    inputs = prepared(trainer, monkeypatch, rollouts, [1.0, 0.0, 0.25, 1.0], [0.3, 0.9, 0.1, 0.5])
    sampled = [len(r.task.ids) + len(r.confession.ids) for r in rollouts]
    assert scored == sampled  # the reference
    for row in range(4):
        trainer.compute_loss(trainer.model, {k: v[row : row + 1] if v.ndim else v for k, v in inputs.items()})
    assert scored == sampled * 2


def test_micro_batches_filled_by_tokens_have_the_loss_and_gradient_of_the_whole_batch(tiny64, tmp_path, monkeypatch):
    model, chat = tiny64
    rollouts = [fake_rollout(seed) for seed in range(4)]
    lengths = [len(r.x_ids) + len(r.completion_ids) for r in rollouts]
    losses, gradients, references, forwards = [], [], [], []
    for most in (None, 2 * sorted(lengths)[-2]):
        trainer = make_trainer((copy.deepcopy(model), chat), tmp_path, micro_batch_tokens=most)
        policy = trainer.accelerator.unwrap_model(trainer.model)
        disturb_adapter(policy)
        inputs = prepared(trainer, monkeypatch, rollouts, [1.0, 0.0, 0.25, 1.0], [0.3, 0.9, 0.5, 0.5])
        references.append(inputs["ref_per_token_logps"])
        calls, original = [], trainer.model.forward
        monkeypatch.setattr(
            trainer.model, "forward", lambda *a, f=original, c=calls, **k: c.append(k["input_ids"].shape) or f(*a, **k)
        )
        loss = trainer.compute_loss(trainer.model, inputs)
        loss.backward()
        losses.append(loss.item())
        forwards.append(calls)
        gradients.append({n: p.grad.clone() for n, p in policy.named_parameters() if p.grad is not None})
    assert len(forwards[0]) == 1
    assert len(forwards[1]) > 1
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
    torch.testing.assert_close(references[1], references[0], rtol=1e-6, atol=1e-6)
    assert gradients[0].keys() == gradients[1].keys() != set()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("stored", [True, False])
def test_rows_that_begin_alike_are_read_once_with_the_same_loss_and_gradient(tiny64, tmp_path, monkeypatch, stored):
    """Two groups of two, and reference too. Of a stored answer the two of a group differ from the confession on, else
    from the answer on."""
    model, chat = tiny64
    drawn = [fake_rollout(seed) for seed in range(4)]
    rollouts = [
        replace(r, x_ids=first.x_ids, stored=stored, **({"task": first.task, "xc_ids": first.xc_ids} if stored else {}))
        for r, first in zip(drawn, (drawn[0], drawn[0], drawn[2], drawn[2]), strict=True)
    ]
    longest = max(len(r.x_ids) + len(r.completion_ids) for r in rollouts)
    found = []
    for shared, most in ((False, None), (True, None), (True, longest)):
        settings = {"shared_prefix": shared, "micro_batch_tokens": most}
        trainer = make_trainer((copy.deepcopy(model), chat), tmp_path, **settings)
        policy = trainer.accelerator.unwrap_model(trainer.model)
        disturb_adapter(policy)
        inputs = prepared(trainer, monkeypatch, rollouts, [1.0, 0.0, 0.25, 1.0], [0.3, 0.9, 0.5, 0.4])
        shapes, original = [], trainer.model.forward
        monkeypatch.setattr(
            trainer.model, "forward", lambda *a, f=original, c=shapes, **k: c.append(k["input_ids"].shape) or f(*a, **k)
        )
        loss = trainer.compute_loss(trainer.model, inputs)
        loss.backward()
        gradients = {n: p.grad.clone() for n, p in policy.named_parameters() if p.grad is not None}
        found.append((loss.item(), inputs["ref_per_token_logps"], gradients, shapes))
    (loss, reference, gradient, alone), *others = found
    assert [len(shapes) for *_, shapes in found] == [1, 1, 2]
    assert (alone[0][0], others[0][3][0][0]) == (4, 2)
    for other_loss, other_reference, other_gradient, _ in others:
        assert other_loss == pytest.approx(loss, rel=1e-6)
        torch.testing.assert_close(other_reference, reference, rtol=1e-6, atol=1e-6)
        assert gradient.keys() == other_gradient.keys() != set()
        for name, values in gradient.items():
            torch.testing.assert_close(other_gradient[name], values, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("shared", [False, True])
def test_two_confessions_of_each_answer_and_its_tokens_once(tiny64, tmp_path, monkeypatch, shared):
    """P = G = K = 2: answers are compared with answers, confessions with those of the same answer."""
    model, chat = tiny64
    rollouts = []
    for seed in range(4):
        first, again = fake_rollout(seed), fake_rollout(seed + 10)
        rollouts += [first, replace(again, x_ids=first.x_ids, task=first.task, xc_ids=first.xc_ids, stored=True)]
    spans = {key: {"advantages": "centred"} for key in ("task", "confession")}
    several = {"confessions_per_answer": 2, "micro_batch": 8, "shared_prefix": shared, "spans": spans}
    trainer = make_trainer((model, chat), tmp_path, **several)
    policy = trainer.accelerator.unwrap_model(trainer.model)
    disturb_adapter(policy)
    task, confession = [1.0, 1.0, 0.0, 0.0, 0.25, 0.25, 1.0, 1.0], [0.0, 1.0, 0.5, 0.25, 1.0, 1.0, 0.0, 0.5]
    inputs = prepared(trainer, monkeypatch, rollouts, task, confession)
    loss = trainer.compute_loss(trainer.model, inputs)
    loss.backward()
    found = gradients(policy)
    policy.zero_grad()
    task, confession = [0.5, 0, -0.5, 0, -0.375, 0, 0.375, 0], [-0.5, 0.5, 0.125, -0.125, 0.0, 0.0, -0.25, 0.25]
    expected = plain_loss(policy, rollouts, task, confession, SETTINGS["kl_weight"], 50)
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    for name, values in gradients(policy).items():
        torch.testing.assert_close(found[name], values, rtol=1e-5, atol=1e-7)


def test_what_is_sampled_of_an_answer_with_two_confessions(tiny64, tmp_path):
    """Turn 1 once, by one seed; the confessions by seeds of their own; and what may not be."""
    trainer = make_trainer(tiny64, tmp_path, confessions_per_answer=2, micro_batch=8)
    made = trainer.rollout_func([json.dumps(SPEC)] * 8, trainer)
    rollouts = made["rollout"]
    assert [r.stored for r in rollouts] == [False, True] * 4
    assert all(a.task == b.task and a.xc_ids == b.xc_ids for a, b in zip(rollouts[::2], rollouts[1::2], strict=True))
    assert len({tuple(r.task.ids) for r in rollouts}) == 4
    assert len({tuple(r.confession.ids) for r in rollouts}) == 8
    assert len(set(trainer.seeds(8))) == 8
    assert len({first for first, _ in trainer.seeds(8)}) == 4
    with pytest.raises(ValueError, match="stored ones are confessed"):
        Train.model_validate(SETTINGS | {"confessions_per_answer": 2, "answers": "a.parquet", "micro_batch": 8})
    with pytest.raises(ValueError, match=r"must divide prompts_per_step \* generations \* confessions_per_answer"):
        Train.model_validate(SETTINGS | {"confessions_per_answer": 2, "micro_batch": 3})


def test_an_answer_with_two_confessions_is_judged_once_and_kept_in_two_rows(tiny64, tmp_path):
    """One real step: what is read as one row, what is logged and what is kept."""
    kept, asked, shapes = [], [], []
    trainer = make_trainer(tiny64, tmp_path, prompts_per_step=1, confessions_per_answer=2, shared_prefix=True)
    trainer.keep = lambda step, rows: kept.extend(rows)
    verdicts = trainer.judge.verdicts
    trainer.judge.verdicts = lambda specs, answers: asked.append(len(answers)) or verdicts(specs, answers)
    packing = module.shared_prefix.pack

    def watched(*given):
        packed = packing(*given)
        shapes.append(len(packed.ids_RL))
        return packed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.shared_prefix, "pack", watched)
        trainer.train()
    assert asked == [2]
    assert set(shapes) == {2}  # the four rows of two answers, in the reference and in the loss
    assert [sum(row["task_mask"]) for row in kept] == [len(kept[0]["task_ids"]), 0, len(kept[2]["task_ids"]), 0]
    assert [row["group"] for row in kept] == [0] * 4
    assert (kept[0]["seed"], kept[2]["seed"]) == (kept[1]["seed"], kept[3]["seed"])
    logged = trainer.state.log_history[0]
    assert logged["task_length_mean"] == sum(len(row["task_ids"]) for row in kept[::2]) / 2
    assert logged["confession_length_mean"] == sum(len(row["confession_ids"]) for row in kept) / 4


def test_all_confessions_of_an_answer_are_of_one_process():
    several = {"prompts_per_step": 1, "confessions_per_answer": 4, "micro_batch": 2, "generations": 3}
    with pytest.raises(ValueError, match=r"must divide prompts_per_step \* generations: one process has all"):
        Train.model_validate(SETTINGS | several | {"processes": 2})


def test_means_over_a_steps_tokens_leave_out_what_is_masked(tiny64, tmp_path):
    """Over all micro-batches together, however many tokens each has; and the gap's percentile and maximum."""
    trainer = make_trainer(tiny64, tmp_path)
    trainer.model.train()
    trainer._count_tokens("kl", torch.tensor([[1.0, 2.0], [3.0, 100.0]]), torch.tensor([[1.0, 1.0], [1.0, 0.0]]))
    trainer._count_tokens("kl", torch.tensor([[10.0, 50.0]]), torch.tensor([[1.0, 0.0]]))
    trainer._count_tokens("none", torch.ones(2, 2), torch.zeros(2, 2))
    trainer._gaps = [torch.arange(0.0, 51.0), torch.arange(51.0, 101.0)]
    trainer._record_tokens()
    logged = trainer._metrics["train"]
    assert (logged["kl"], logged["none"]) == ([4.0], [0.0])
    assert [logged[f"sampler_gap_{name}"] for name in ("mean", "p99", "max")] == [[50.0], [99.0], [100.0]]
    trainer._gaps = [torch.zeros(1)]
    trainer._record_tokens()
    assert len(logged["kl"]) == 1


def test_what_another_sampler_drew_is_weighed_token_by_token(tiny64, tmp_path, monkeypatch):
    """Its coefficients are those of the spans times p(trainer) / p(sampler) of the same token, cut at 3; the gap is
    measured on sampled tokens alone."""
    rollouts = [fake_rollout(seed) for seed in range(4)]
    trainer = make_trainer(tiny64, tmp_path, kl_weight=0.0)
    inputs = prepared(trainer, monkeypatch, rollouts, [1.0, 0.0, 0.25, 1.0], [0.3, 0.9, 0.5, 0.5])
    with torch.no_grad():
        trainer.compute_loss(trainer.model, inputs)
    logps = torch.zeros(inputs["advantages"].shape)
    sampled = inputs["tool_mask"].bool()
    logps[sampled] = -trainer._gaps.pop()  # |log p| against the fake's 0: the log-probabilities themselves
    offsets = torch.linspace(-2.0, 2.0, logps.numel()).view(logps.shape)
    inputs["sampling_per_token_logps"] = torch.where(sampled, logps - offsets, 0.0)
    seen, original = [], GRPOTrainer._compute_loss

    def watched(self, model, given):
        seen.append(given["advantages"])
        return original(self, model, given)

    monkeypatch.setattr(GRPOTrainer, "_compute_loss", watched)
    for sampler in (None, object()):
        trainer.sampler = sampler
        trainer.compute_loss(trainer.model, inputs)
    plain, weighed = seen
    assert torch.equal(plain, inputs["advantages"])
    torch.testing.assert_close(weighed, torch.where(sampled, plain * offsets.exp().clamp(max=3.0), 0.0))
    torch.testing.assert_close(trainer._gaps[-1], offsets[sampled].abs())


@pytest.mark.parametrize("changed", ["task", "confession"])
def test_a_reward_moves_only_its_own_span(tiny64, tmp_path, monkeypatch, changed):
    """End to end through TRL: the other span's coefficients stay bit-identical."""
    rollouts = [fake_rollout(seed) for seed in range(4)]
    rewards = {"task": [1.0, 0.0, 0.25, 1.0], "confession": [0.3, 0.9, 0.5, 0.5]}
    other = rewards | {changed: [0.1, 0.2, 0.9, 0.4]}
    trainer = make_trainer(tiny64, tmp_path)
    before = prepared(trainer, monkeypatch, rollouts, rewards["task"], rewards["confession"])
    after = prepared(trainer, monkeypatch, rollouts, other["task"], other["confession"])
    kept = "confession" if changed == "task" else "task"
    masks = {span: before[f"{span}_mask"].bool() for span in (changed, kept)}
    assert torch.equal(before["advantages"][masks[kept]], after["advantages"][masks[kept]])
    assert not torch.equal(before["advantages"][masks[changed]], after["advantages"][masks[changed]])


def test_lines_are_rewarded_once_a_step_and_by_the_graders_view(tiny64, tmp_path, monkeypatch):
    grader = {"flipped": 1.0, "side": "unmet"}
    paid = {"claims": "plain", "grade_weight": 0.0, "credit": "line", "grader": grader}
    trainer = make_trainer(tiny64, tmp_path, confession_reward=paid, variant="evidence")
    scores = score_rollout(TASK, SPEC, "", "")
    n = len(scores["met"])
    assert not any(scores["met"])
    claims = ["Full"] + ["None"] * (n - 1)
    trainer._scores = [scores | {"kinds": ["count"] * n, "claims": claims, "report_valid": True}] * 2
    calls, original = [], module.line_rewards
    monkeypatch.setattr("confessions.training.rewards.line_rewards", lambda *a: calls.append(a) or original(*a))
    monkeypatch.setattr(module, "line_rewards", lambda *a: calls.append(a) or original(*a))
    trainer.model.train()
    assert trainer._confession_rewards([fake_rollout(0), fake_rollout(1)]) == [pytest.approx(1 / n)] * 2
    assert len(calls) == 1
    assert trainer._lines_BS.tolist() == [[pytest.approx(1 / n)] + [0.0] * (n - 1)] * 2


def test_findings_are_paid_by_the_share_that_is_theirs(tiny64, tmp_path):
    paid = {"claims": "plain", "grade_weight": 0.0, "credit": "line", "finding_weight": 0.5}
    trainer = make_trainer(tiny64, tmp_path, confession_reward=paid, variant="evidence")
    scores = score_rollout(TASK, SPEC, "", "")
    n = len(scores["met"])
    said = {"kinds": ["count"] * n, "claims": ["None"] * n, "report_valid": True}  # all of them are right
    trainer._scores = [scores | said | {"finding_right": [right] * n} for right in (True, False)]
    trainer.model.train()
    assert trainer._confession_rewards([fake_rollout(0), fake_rollout(1)]) == pytest.approx([1.0, 0.5])
    assert trainer._lines_BS.sum(1).tolist() == pytest.approx([1.0, 0.5])


def test_confessions_are_paid_by_what_the_judge_takes_for_the_truth(tiny64, tmp_path):
    """It sees the answer alone; what is logged goes by the truth."""
    paid = {"claims": "plain", "grade_weight": 0.0, "grader": {"by": "judge"}}
    trainer = make_trainer(tiny64, tmp_path, confession_reward=paid)
    scores = score_rollout(TASK, SPEC, "", "")
    n, asked = len(scores["met"]), []
    seen = [[True] * n, [False] * n]  # of the two answers
    trainer.judge.met = lambda specs, answers: asked.append((specs, answers)) or seen
    trainer._scores = [scores | {"kinds": ["count"] * n, "claims": ["Full"] * n, "report_valid": True} for _ in seen]
    trainer.model.train()
    rollouts = [fake_rollout(0), fake_rollout(1)]
    assert trainer._confession_rewards(rollouts) == [1.0, 0.0]
    assert asked == [([r.spec for r in rollouts], [r.answer.body for r in rollouts])]
    assert not any(met for row in trainer._scores for met in row["met"])


def test_groups_without_variance_leave_only_the_kl_term(tiny64, tmp_path, monkeypatch):
    trainer = make_trainer(tiny64, tmp_path, kl_weight=0.0)
    disturb_adapter(trainer.accelerator.unwrap_model(trainer.model))
    inputs = prepared(trainer, monkeypatch, [fake_rollout(s) for s in range(4)], [1.0] * 4, [0.7] * 4)
    loss = trainer.compute_loss(trainer.model, inputs)
    loss.backward()
    assert loss.item() == 0
    assert all((g == 0).all() for g in gradients(trainer.model).values())


@pytest.mark.parametrize("turn", ["task", "confession"])
@pytest.mark.parametrize("odd", [float("nan"), float("-inf"), float("inf")])
def test_a_log_probability_that_is_none_ends_the_step_with_one_line(tiny64, tmp_path, monkeypatch, turn, odd):
    """Of a token that was sampled, before it is in a weight."""
    trainer, rollouts = make_trainer(tiny64, tmp_path), [fake_rollout(seed) for seed in range(4)]
    monkeypatch.setattr(module, "two_turns", lambda *given, **more: rollouts)
    trainer.state.global_step = 6
    sample = partial(module._rollouts, [json.dumps(SPEC)] * 4, trainer)
    assert sample()["rollout"] == rollouts
    said = getattr(rollouts[2], turn)
    rollouts[2] = replace(rollouts[2], **{turn: replace(said, logprobs=[*said.logprobs[:-1], odd])})
    number, place = ("task", "confession").index(turn) + 1, len(said.ids)
    with pytest.raises(InputError, match=rf"^step 7: row 3: .* token {place} of turn {number} .* {odd}: .*\Z"):
        sample()


def test_a_rollout_without_a_verdict_is_not_trained_on_and_none_at_all_is_an_error(tiny64, tmp_path, monkeypatch):
    """In the span whose reward is not known; the others of its group are compared with each other."""
    trainer, rollouts = make_trainer(tiny64, tmp_path), [fake_rollout(seed) for seed in range(4)]
    inputs = prepared(trainer, monkeypatch, rollouts, [1.0, None, None, None], [None, 0.9, 0.2, 0.5])
    for span, silent in (("task", [0, 1, 2, 3]), ("confession", [0, 1])):
        coefficients = inputs["advantages"] * inputs[f"{span}_mask"]
        assert [i for i, row in enumerate(coefficients) if (row == 0).all()] == silent
        assert trainer._metrics["train"][f"{span}_gradient_share"] == [1 - len(silent) / 4]
    assert inputs["advantages"].isfinite().all()
    with pytest.raises(JudgeError, match="not one of its answers could be graded"):
        prepared(trainer, monkeypatch, rollouts, [None] * 4, [0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize(
    ("name", "value"),
    [("loss_type", "dapo"), ("importance_sampling_level", "sequence"), ("mask_truncated_completions", True),
     ("top_entropy_quantile", 0.5), ("num_iterations", 2)],
)  # fmt: skip
def test_settings_that_mix_the_spans_are_refused(tmp_path, name, value):
    args = training.trainer_arguments(Train.model_validate(SETTINGS), 0, tmp_path, "float32")
    setattr(args, name, value)
    with pytest.raises(ValueError, match=name):
        module._refuse_mixing(args)


def test_trl_still_has_the_parts_that_are_overridden():
    """Fails loudly when TRL moves what the subclass hooks into (pinned; see pyproject.toml)."""
    source = inspect.getsource(GRPOTrainer)
    assert "output = self.rollout_func(prompts, self)" in source
    assert 'extra_fields.pop("env_mask", None)' in source
    assert "rewards_per_func = self._calculate_rewards(inputs, prompts, completions, completion_ids_list)" in source
    assert "loss = (per_token_loss * mask).sum() / (per_token_loss.size(0) * self.max_completion_length)" in source
    assert "if advantages.dim() == 1:" in source
    hooks = SimpleNamespace(
        _calculate_rewards=["self", "inputs", "prompts", "completions", "completion_ids_list"],
        _generate_and_score_completions=["self", "inputs"],
        _compute_loss=["self", "model", "inputs"],
    )
    logps = inspect.signature(GRPOTrainer._get_per_token_logps_and_entropies).parameters
    assert list(logps)[:6] == ["self", "model", "input_ids", "attention_mask", "logits_to_keep", "batch_size"]
    for name, parameters in vars(hooks).items():
        assert list(inspect.signature(getattr(GRPOTrainer, name)).parameters) == parameters


def test_rollouts_without_reasoning_in_context_are_not_trained_on(tiny64, tmp_path):
    """The loss would see z before the confession, the rollout had not."""
    model, chat = tiny64
    with pytest.raises(ValueError, match="needs keep_thinking"):
        make_trainer((model, Chat(chat.tokenizer, True, keep_thinking=False)), tmp_path)
