"""One more stage of training on a task's ground truth, from a model folder to a model folder.

sft  rejection sampling: imitate the best of each prompt's sampled answers; or imitate generated conversations, or
     answers of which a part are the task's own hack; or confess answers that were sampled before (frozen) with evidence
dpo  prefer the best of them to the worst
rl   GRPO on the share of objectives met
Sampled data are the very ids that were sampled, and the confession is never asked for. Generated conversations are
the task's demonstrations (of word_count, the embedded model's corpus), whole, in any model's own chat: their habits,
confessions included, are what they teach. All training is by TRL's trainers, of an adapter that is merged at the end or
of every weight; the reference model of dpo and rl is then TRL's, loaded once more from the base's folder.
"""

import json
import random
import shutil
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tqdm import tqdm
from transformers import PreTrainedModel, Trainer, TrainerCallback
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from confessions.config import Lora, PostTrained, WarmStart
from confessions.engines import Completion, Sampling
from confessions.engines.transformers import TransformersEngine
from confessions.models import loading
from confessions.models.chat import Chat
from confessions.rollouts.encoding import Encoder
from confessions.rollouts.two_turns import stream_seed
from confessions.runtime.errors import InputError
from confessions.tasks import get as get_task
from confessions.tasks.base import Spec, Task, opening
from confessions.training.arguments import trl_arguments
from confessions.training.lora_inputs import UncastInputs

BATCH = 256  # answers sampled together


class PreTokenizedDPOTrainer(DPOTrainer):
    """TRL's, on examples that already hold prompt_ids, chosen_ids and rejected_ids: it has no switch for that."""

    def _prepare_dataset(self, dataset, *args, **kwargs):
        return dataset


class Answers:
    """Samples answers (turn 1) to prompts and tells how good they are."""

    def __init__(self, task: Task, chat: Chat, settings: PostTrained):
        self.task, self.chat, self.settings = task, chat, settings
        self.sampling = Sampling(settings.max_new_tokens, **settings.sampling.model_dump())

    def prompt(self, spec: Spec) -> list[int]:
        return self.chat.prompt_ids(opening(self.task, spec))

    def sample(self, model: PreTrainedModel, specs: Sequence[Spec], step: int, first: int = 0) -> list[Completion]:
        seeds = [stream_seed(self.settings.seed, step, first + row) for row in range(len(specs))]
        engine = TransformersEngine(model, self.chat.tokenizer, BATCH, reuse_prefix=False, eos=self.chat.eos)
        return engine.generate([self.prompt(spec) for spec in specs], self.sampling, seeds)

    def qualities(self, specs: Sequence[Spec], answers: Sequence[Completion]) -> list[float | None]:
        """Share of objectives that each answer meets; 0 for one that was cut off, None where it is not known of all."""
        truths = self.task.verify_all(specs, [self.chat.split(answer.ids).body for answer in answers])
        return [
            0.0 if answer.finish_reason != "stop" else None if None in truth.met else sum(truth.met) / len(truth.met)
            for truth, answer in zip(truths, answers, strict=True)
        ]


def run(settings: PostTrained, model_folder: Path, dtype: str, thinking: bool, work: Path, out: Path) -> None:
    """Train and write the merged model to `out`, which must not exist. Raises InputError where there is nothing to
    learn from."""
    task = get_task(settings.task)
    if settings.data == "sampled":
        task.ready()
    chat = loading.load_chat(model_folder, thinking)
    if settings.lora:
        loading.check_targets(settings.lora, loading.load_config(model_folder), "lora")
    model = loading.load_model(model_folder, dtype)
    specs = list(islice(cycle(task.specs("train")), settings.steps * settings.prompts_per_step))
    sequences = settings.prompts_per_step * (settings.samples if settings.method == "rl" else 1)
    settled = arguments(settings, sequences, settings.seed, dtype, work)
    if settings.data == "generated":
        rows = generated(task, chat, specs, settings.seed)
        trainer: Trainer = imitation(settings.lora, chat, model, rows, settled)
    elif settings.data == "seeded":
        settled["train_sampling_strategy"] = "sequential"  # the curriculum is the order of the rows
        trainer = imitation(settings.lora, chat, model, seeded(task, chat, specs, settings), settled)
    else:
        make = {"sft": _sft, "dpo": _dpo, "rl": _rl}[settings.method]
        trainer = make(settings, Answers(task, chat, settings), model, specs, settled)
    trainer.add_callback(Progress(settings.method))
    trainer.train()
    trained = trainer.accelerator.unwrap_model(trainer.model)
    if settings.lora:
        trained = trained.merge_and_unload()
    loading.save_model(trained, trained.state_dict(), out, dtype, model_folder)
    shutil.rmtree(work, ignore_errors=True)


def arguments(settings: PostTrained | WarmStart, sequences: int, seed: int, dtype: str, work: Path) -> dict[str, Any]:
    """What the three trainers' arguments have in common; `sequences` a step."""
    return trl_arguments(settings, seed, work, dtype, sequences, settings.micro_batch) | {
        "warmup_steps": min(2, settings.steps - 1),
        "gradient_checkpointing": False,
        "save_strategy": "no",
    }


def _trainable(lora: Lora | None, model: PreTrainedModel) -> dict[str, Any]:
    """What a trainer is given: the model and its adapter, or the model in float32 where every weight is trained. A
    small step would be lost in bfloat16's 8 bits; activations still have the model's dtype, by autocast."""
    if not lora:
        return {"model": model.float()}
    return {"model": model, "peft_config": loading.lora_config(lora)}


def _ranked(settings: PostTrained, answers: Answers, model: PreTrainedModel, specs: Sequence[Spec]):
    """For each prompt: spec, its answers from best to worst, their qualities. An answer whose quality is not known is
    left out, and so is a prompt that has no other."""
    repeated = [spec for spec in specs for _ in range(settings.samples)]
    parts = [repeated[start : start + BATCH] for start in range(0, len(repeated), BATCH)]
    sampled = []
    for number, part in enumerate(tqdm(parts, desc="answers to learn from", unit="batch")):
        sampled += answers.sample(model, part, 0, number * BATCH)
    qualities = answers.qualities(repeated, sampled)
    for at, spec in zip(range(0, len(sampled), settings.samples), specs, strict=True):
        these = slice(at, at + settings.samples)
        pairs = [pair for pair in zip(qualities[these], sampled[these], strict=True) if pair[0] is not None]
        pairs.sort(key=lambda pair: -pair[0])
        if pairs:
            yield spec, [answer for _, answer in pairs], [quality for quality, _ in pairs]


def _sft(settings, answers, model, specs, arguments) -> Trainer:
    rows = [
        {"input_ids": [*prompt, *best.ids], "completion_mask": [0] * len(prompt) + [1] * len(best.ids)}
        for spec, (best, *_), _ in _ranked(settings, answers, model, specs)
        for prompt in [answers.prompt(spec)]
    ]
    if not rows:
        raise InputError("sft: not one answer could be graded; see what the task needs of this machine")
    return imitation(settings.lora, answers.chat, model, rows, arguments)


def generated(task: Task, chat: Chat, specs: Sequence[Spec], seed: int) -> list[dict[str, list[int]]]:
    """A demonstration of the task for each spec. The mask is 1 on both turns of the model."""
    rng, encoder, rows = random.Random(seed), Encoder(chat), []
    for spec in specs:
        ids, weights = encoder.whole(task.demonstration(spec, rng))
        rows.append({"input_ids": ids, "completion_mask": [int(weight > 0) for weight in weights]})
    return rows


def seeded(task: Task, chat: Chat, specs: Sequence[Spec], settings: PostTrained) -> list[dict[str, list[int]]]:
    """A row for each of `specs`, which hold every epoch: the answers of the first, then the same in another order.

    Exactly the asked part of the answers are hacks. `easy_first` orders each epoch by difficulty; ties are shuffled.
    """
    rng, seeding = random.Random(settings.seed), settings.seeding
    shown = list(specs[: len(specs) // seeding.epochs])
    hacks = set(rng.sample(range(len(shown)), round(seeding.hack_fraction * len(shown))))
    rows = []
    for number, spec in enumerate(shown):
        prompt = chat.prompt_ids(opening(task, spec))
        turn = chat.turn_ids(*task.seed(spec, number in hacks, seeding.reasoning, rng))
        mask = [0] * len(prompt) + [1] * len(turn)
        rows.append((task.difficulty(spec), {"input_ids": prompt + turn, "completion_mask": mask}))
    epochs = []
    while len(epochs) < len(specs):  # where the epochs do not fill the last step, it begins one more
        rng.shuffle(rows)
        epochs += sorted(rows, key=lambda row: row[0]) if seeding.curriculum == "easy_first" else rows
    return [row for _, row in epochs[: len(specs)]]


class Imitation(UncastInputs, SFTTrainer):
    """TRL's trainer as it is."""


def imitation(
    lora: Lora | None,
    chat: Chat,
    model: PreTrainedModel,
    rows: list[dict[str, list[int]]],
    arguments: Mapping[str, Any],
) -> Trainer:
    """SFT on rows of ids, with loss where completion_mask is 1."""
    return Imitation(
        **_trainable(lora, model),
        args=SFTConfig(**arguments, max_length=None, completion_only_loss=True),
        train_dataset=Dataset.from_list(rows),
        processing_class=chat.tokenizer,
    )


def _dpo(settings, answers, model, specs, arguments) -> Trainer:
    rows = [
        {"prompt_ids": answers.prompt(spec), "chosen_ids": ranked[0].ids, "rejected_ids": ranked[-1].ids}
        for spec, ranked, qualities in _ranked(settings, answers, model, specs)
        if qualities[0] > qualities[-1]
    ]
    if not rows:
        raise InputError("dpo: no prompt has a better and a worse answer; raise samples or prompts_per_step")
    return PreTokenizedDPOTrainer(
        **_trainable(settings.lora, model),
        args=DPOConfig(**arguments, max_length=None, beta=settings.kl_weight),
        train_dataset=Dataset.from_list(rows),
        processing_class=answers.chat.tokenizer,
    )


def _rl(settings, answers, model, specs, arguments) -> Trainer:
    def rollouts(prompts: list[str], trainer: GRPOTrainer) -> dict[str, list]:
        given = [json.loads(prompt) for prompt in prompts]
        policy = trainer.accelerator.unwrap_model(trainer.model)
        policy.eval()
        first = trainer.accelerator.process_index * len(given)
        lower = loading.cast(policy, torch.bfloat16) if trainer.args.bf16 and not settings.lora else nullcontext()
        with lower:  # once for all tokens, where autocast would cast at each
            sampled = answers.sample(policy, given, 1 + trainer.state.global_step, first)
        policy.train()
        return {
            "prompt_ids": [answers.prompt(spec) for spec in given],
            "completion_ids": [answer.ids for answer in sampled],
            "logprobs": [answer.logprobs for answer in sampled],
            "quality": answers.qualities(given, sampled),
        }

    def share_met(quality: list[float | None], **_: Any) -> list[float | None]:
        return quality

    return GRPOTrainer(
        **_trainable(settings.lora, model),
        reward_funcs=share_met,
        args=GRPOConfig(
            **arguments,
            num_generations=settings.samples,
            max_completion_length=settings.max_new_tokens,
            beta=settings.kl_weight,
            loss_type="dr_grpo",
            **settings.sampling.model_dump(),
        ),
        train_dataset=Dataset.from_dict({"prompt": [json.dumps(spec) for spec in specs]}),
        processing_class=answers.chat.tokenizer,
        rollout_func=rollouts,
    )


class Progress(TrainerCallback):
    """A bar with the loss."""

    def __init__(self, method: str):
        self.method, self.bar = method, None

    def on_train_begin(self, args, state, control, **_: Any) -> None:
        self.bar = tqdm(total=state.max_steps, desc=self.method, unit="step")

    def on_log(self, args, state, control, logs: dict[str, float], **_: Any) -> None:
        shown = {k: f"{logs[k]:.3g}" for k in ("loss", "reward", "rewards/accuracies") if k in logs}
        self.bar.set_postfix(shown, refresh=False)

    def on_step_end(self, args, state, control, **_: Any) -> None:
        self.bar.update()

    def on_train_end(self, args, state, control, **_: Any) -> None:
        self.bar.close()
