"""The example for other people's trainers (docs/credit.md), on the embedded model."""

import importlib.util
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM

from confessions.models import loading

FILE = Path(__file__).parents[2] / "docs/extending/two_rewards.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("two_rewards", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rollouts(prompts, trainer):
    """Two tokens, a request of one, then one, two, three or four tokens."""
    n = len(prompts)
    second = [[7] * (1 + row) for row in range(n)]
    return {
        "prompt_ids": [[1, 2]] * n,
        "completion_ids": [[3, 4, 5, *ids] for ids in second],
        "logprobs": [[-1.0] * (3 + len(ids)) for ids in second],
        "env_mask": [[1, 1, 0] + [1] * len(ids) for ids in second],
        "turn": [[1, 1, 0] + [2] * len(ids) for ids in second],
    }


def batch(example, folder, path, second):
    """The step's batch, where turn 1 earns 0, 0, 0, 4 and turn 2 what is given."""
    trainer = example.TwoRewards(
        AutoModelForCausalLM.from_pretrained(folder),
        [lambda **_: [0.0, 0.0, 0.0, 4.0], lambda **_: second],
        args=example.arguments(
            str(path),
            per_device_train_batch_size=4,
            num_generations=4,
            max_completion_length=8,
            max_steps=1,
            use_cpu=True,
        ),
        train_dataset=Dataset.from_dict({"prompt": ["x"]}),
        processing_class=loading.load_chat(folder, True).tokenizer,
        rollout_func=rollouts,
    )
    seen = {}
    loss = trainer._compute_loss
    trainer._compute_loss = lambda model, inputs: seen.update(inputs) or loss(model, inputs)
    trainer.train()
    return seen["advantages"]


def test_a_token_is_paid_by_its_own_turn_alone(example, random_nano, tmp_path):
    one = batch(example, random_nano, tmp_path / "a", [0.0, 0.0, 0.0, 0.0])
    other = batch(example, random_nano, tmp_path / "b", [1.0, 0.0, 0.0, 0.0])
    assert torch.equal(one[:, :3], other[:, :3])
    # 8 tokens of turn 1 in the batch, a normalizer of 4 * 8: each counts 4 times its advantage
    assert one[:, :2].tolist() == [[-4.0, -4.0]] * 3 + [[12.0, 12.0]]
    assert not one[:, 2:].any()
    # 1 + 2 + 3 + 4 tokens of turn 2: each counts 3.2 times
    assert torch.allclose(other[0, 3:], torch.tensor([2.4, 0, 0, 0]))
    assert torch.allclose(other[3, 3:], torch.tensor([-0.8] * 4))


def test_settings_under_which_a_loss_mixes_the_turns_are_refused(example, random_nano, tmp_path):
    with pytest.raises(ValueError, match="mixes the turns"):
        example.TwoRewards(
            AutoModelForCausalLM.from_pretrained(random_nano),
            [len, len],
            args=example.GRPOConfig(str(tmp_path), loss_type="grpo", use_cpu=True, bf16=False, report_to=[]),
            train_dataset=Dataset.from_dict({"prompt": ["x"]}),
            processing_class=loading.load_chat(random_nano, True).tokenizer,
        )
