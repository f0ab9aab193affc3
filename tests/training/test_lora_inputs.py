"""Adapters in mixed precision: without the casts every number is the same."""

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from confessions.models import loading
from confessions.training.lora_inputs import UncastInputs


def test_the_same_loss_and_gradients_without_casts(random_nano, tmp_path):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(random_nano, dtype=torch.bfloat16)
    policy = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    chat = loading.load_chat(random_nano, True)
    rows = Dataset.from_list([{"input_ids": chat.tokenizer.encode(text)} for text in ("the sea rose", "it fell again")])
    seen: set[torch.dtype] = set()
    handles = [
        module.register_forward_pre_hook(lambda module, given: seen.add(given[0].dtype))
        for name, module in policy.named_modules()
        if name.endswith("lora_A.default")
    ]
    assert handles

    class Gradients(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model, **of):
            self.found = [p.grad.clone() for p in model.parameters() if p.requires_grad]

    def gradients(kind: type[Trainer]) -> tuple[float, list[torch.Tensor]]:
        seen.clear()
        step = Gradients()
        trainer = kind(
            policy,
            TrainingArguments(str(tmp_path), bf16=True, use_cpu=True, max_steps=1, learning_rate=0, report_to=[]),
            DataCollatorForLanguageModeling(chat.tokenizer, mlm=False),
            rows,
            callbacks=[step],
        )
        return trainer.train().training_loss, step.found

    torch.manual_seed(1)
    loss, with_casts = gradients(Trainer)
    assert seen == {torch.float32}
    torch.manual_seed(1)
    again, without = gradients(type("Uncast", (UncastInputs, Trainer), {}))
    assert seen == {torch.bfloat16}
    assert loss == again
    assert any(g.any() for g in without)
    assert all(map(torch.equal, with_casts, without))
    with torch.no_grad():  # afterwards, where nothing is autocast, the casts are there again
        assert policy(torch.tensor([[1, 2]])).logits.isfinite().all()


def test_a_policy_that_prepares_its_own_inputs_does_so_without_autocast(random_nano, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(random_nano, dtype=torch.bfloat16)
    policy = get_peft_model(model, LoraConfig(r=2, target_modules="all-linear"))
    sampled = []

    class Samples(Trainer):
        def _prepare_inputs(self, inputs):
            with torch.no_grad():
                sampled.append(policy.base_model(torch.tensor([[1, 2]])).logits)
            return super()._prepare_inputs(inputs)

    rows = Dataset.from_list([{"input_ids": [1, 2, 3], "labels": [1, 2, 3]}])
    arguments = TrainingArguments(str(tmp_path), bf16=True, use_cpu=True, max_steps=1, report_to=[])
    type("Uncast", (UncastInputs, Samples), {})(policy, arguments, train_dataset=rows).train()
    assert sampled[0].isfinite().all()
