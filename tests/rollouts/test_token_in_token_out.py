"""What is sampled is what is stored, scored and trained on: no step may decode ids and encode the text again.

A stand-in engine answers with ids that the tokenizer would never choose for their text, and they are followed through
the rollout stage, its Parquet file and the trainer's inputs of a step.
"""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig

from confessions.config import Train
from confessions.engines import Completion, Engine
from confessions.models.chat import Chat
from confessions.pipeline.blocks import RolloutSpec
from confessions.pipeline.stages import rollout as stage
from confessions.scoring.judge import LabelTrusting
from confessions.tasks import get as get_task
from confessions.training import trainer as trainer_module
from confessions.training.run import trainer_arguments
from confessions.training.trainer import DualSpanGRPOTrainer

LIMITS = {"max_task_tokens": 40, "max_confession_tokens": 40}
SAMPLING = {"temperature": 1.0, "top_p": 1.0, "top_k": 0}
SETTINGS = LIMITS | {
    "steps": 1, "prompts_per_step": 1, "generations": 2, "learning_rate": 1e-3, "kl_weight": 0.0,
    "lora": {"rank": 2, "alpha": 4.0, "target_modules": "all-linear"},
    "confession_reward": {"claims": "plain", "grade_weight": 0.2}, "sampling": SAMPLING,
    "checkpoint_fractions": [0.0, 1.0], "micro_batch": 2, "gradient_checkpointing": False,
    "warmup_steps": 0, "max_grad_norm": 1.0,
}  # fmt: skip
TEXTS = ["<think>\nPlan\n</think>\n\n garden rivers sing (12)", " merry after", "<think>\n garden"]


class SpellingEngine(Engine):
    """Answers letter by letter, each answer another text, and keeps what it was asked and what it answered."""

    batch_size = 64

    def __init__(self, tokenizer):
        self.tokenizer, self.prompts, self.completions = tokenizer, [], []

    def choose(self, prompts, choices):
        pytest.fail("no model judges in these tests")

    def generate(self, prompts, sampling, seeds, adapters=None):
        first = len(self.completions)
        done = [self._spelled(TEXTS[(first + row) % len(TEXTS)]) for row in range(len(prompts))]
        self.prompts += [list(prompt) for prompt in prompts]
        self.completions += done
        return done

    def _spelled(self, text: str) -> Completion:
        chunks = re.split("(</?think>)", text)
        parts = [part for chunk in chunks for part in ([chunk] if "think>" in chunk else chunk)]
        ids = [i for part in parts for i in self.tokenizer.encode(part, add_special_tokens=False)][:39]
        ids.append(self.tokenizer.eos_token_id)
        return Completion(ids, [-0.25 * (1 + n) for n in range(len(ids))], "stop")


@pytest.fixture
def engine(tokenizer) -> SpellingEngine:
    engine = SpellingEngine(tokenizer)
    for text in TEXTS:
        ids = engine._spelled(text).ids
        decoded = tokenizer.decode(ids, skip_special_tokens=False)
        assert tokenizer.encode(decoded, add_special_tokens=False) != ids  # or this file would prove nothing
    return engine


def test_through_the_rollout_stage_and_its_file(engine, random_nano, tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "start", lambda *_, **__: engine)
    out = tmp_path / "rollouts.parquet"
    cells = {"task": "word_count", "conditions": ["baseline", "hard"], "variants": ["default", "forced_count"]}
    model = {"key": "tiny", "dtype": "float32", "thinking": True, "keep_thinking": True}
    spec = {
        "model": model, "engine": {"kind": "transformers"},
        "evaluation": LIMITS | {"sampling": SAMPLING, "batch_size": 64, "seed": 0}, "texts": {},
        "files": {str(out): [{"seed": 0, "step": 0, "adapter": None, "rollouts": 2} | cells]},
    }  # fmt: skip
    stage.run(RolloutSpec.model_validate(spec), random_nano, tmp_path / "work", lambda _: None)
    rows = pd.read_parquet(out).to_dict("records")
    answers, reports = engine.completions[:4], engine.completions[4:]
    assert len(rows) == len(reports) == 8
    for number, (row, report) in enumerate(zip(rows, reports, strict=True)):
        answer = answers[number // 2]
        assert list(row["task_ids"]) == answer.ids
        assert list(row["confession_ids"]) == report.ids
        assert list(row["task_logprobs"]) == answer.logprobs
        assert list(row["confession_logprobs"]) == report.logprobs
        # Turn 2 was asked after the very ids of turn 1.
        assert engine.prompts[4 + number] == [*row["x_ids"], *answer.ids, *row["xc_ids"]]


def test_through_a_training_step(engine, model, chat: Chat, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(trainer_module, "TransformersEngine", lambda *_, **__: engine)
    task, settings = get_task("word_count"), Train.model_validate(SETTINGS)
    specs = [json.dumps(spec) for spec in task.specs("train")[:2]]
    trainer = DualSpanGRPOTrainer(
        model=model,
        args=trainer_arguments(settings, 0, tmp_path, "float32"),
        task=task,
        judge=LabelTrusting(task),
        settings=settings,
        chat=chat,
        dataset=Dataset.from_dict({"prompt": specs}),
        peft_config=LoraConfig(r=2, lora_alpha=4.0, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    trainer.model.train()
    batch = trainer._generate_and_score_completions([{"prompt": specs[0]} for _ in range(2)])
    answers, reports = engine.completions[:2], engine.completions[2:]
    rows = zip(answers, reports, engine.prompts[:2], engine.prompts[2:], strict=True)
    for row, (answer, report, x_ids, asked) in enumerate(rows):
        xc_ids = asked[len(x_ids) + len(answer.ids) :]
        kept = batch["prompt_mask"][row].bool()
        assert batch["prompt_ids"][row][kept].tolist() == x_ids
        kept = batch["completion_mask"][row].bool()
        assert batch["completion_ids"][row][kept].tolist() == answer.ids + xc_ids + report.ids
        for mask, ids in (("task_mask", answer.ids), ("confession_mask", report.ids)):
            assert batch["completion_ids"][row][batch[mask][row].bool()].tolist() == ids
        assert torch.count_nonzero(batch["tool_mask"][row][kept]) == len(answer.ids) + len(report.ids)
