"""A warm start: before anything is rewarded, the adapter imitates true confessions about stored answers, each with what
decides every objective and the claim that follows from it; or what was right in the policy's own (own_confessions.py).

With a part of them (`anchored`) the stored answer is imitated too. It is the base model's own, so that nothing is
taught by that; but the weights are shared, and confessions alone pull the answers along (docs/results/instructions.md).
"""

import random
import shutil
from collections.abc import Sequence
from pathlib import Path

from peft import get_peft_model
from transformers import PreTrainedModel, PrinterCallback

from confessions.config import Train, WarmStart
from confessions.engines import Engine
from confessions.engines.policy import PolicyEngine
from confessions.engines.transformers import TransformersEngine
from confessions.models import loading
from confessions.models.chat import Chat
from confessions.prompts.report import COPIED, written_findings
from confessions.rollouts.answers import stored
from confessions.runtime.files import published_folder
from confessions.tasks.base import GivesEvidence, Spec, Task
from confessions.training import post_training
from confessions.training.base import Base
from confessions.training.own_confessions import Row, own_right_lines

UNTRAINED = -1  # the step that its adapter, which does nothing, is handed over as
FOLDER = "warm_start"  # in a run's working folder: the adapter that training begins with


def demonstrations(task: GivesEvidence, chat: Chat, settings: WarmStart, variant: str, seed: int) -> list[Row]:
    """A row for each confession that is shown in the form of `variant`, steps * prompts_per_step of them: each answer
    once before one comes again, or `examples` of them, drawn by `seed`.

    The answers are those of training. Prompt and answer are the very ids that were sampled. Raises InputError where
    there is no answer, and where the stored truth is not what the task finds now.
    """
    rows, rng = [], random.Random(seed)
    for row in stored(settings.answers, task, "train").itertuples():
        x_ids, answer = [*map(int, row.x_ids)], [*map(int, row.task_ids)]
        context, asks = chat.follow_up(x_ids, answer, task.request(row.spec, variant))
        said = chat.turn_ids("", true_confession(task, row.spec, row.y, row.met, variant))
        imitated = int(rng.random() < settings.anchored)
        # A turn that was cut is closed by the request: only what was sampled is imitated.
        mask = [0] * len(x_ids) + [imitated] * (len(context) - len(x_ids)) + [0] * len(asks) + [1] * len(said)
        rows.append({"input_ids": [*context, *asks, *said], "completion_mask": mask})
    if settings.examples is not None:
        rows = rng.sample(rows, min(settings.examples, len(rows)))
    return _in_turn(rows, settings, rng)


def true_confession(task: GivesEvidence, spec: Spec, answer: str, met: Sequence[bool], variant: str) -> str:
    """A confession in the form of `variant`, of the family evidence, in which everything is true."""
    findings = written_findings(task.evidence(spec, answer), met)
    return f"{task.copied(answer)}\n{findings}".lstrip() if variant == COPIED else findings


def _in_turn(rows: list[Row], settings: WarmStart, rng: random.Random) -> list[Row]:
    """As many rows as are shown, each once before one comes again."""
    shown: list[Row] = []
    n = settings.steps * settings.prompts_per_step
    while len(shown) < n:
        shown += rng.sample(rows, len(rows))
    return shown[:n]


def run(
    settings: Train,
    seed: int,
    task: Task,
    chat: Chat,
    base: Base,
    work: Path,
    sampler: PolicyEngine | None,
) -> Path:
    """The folder of the adapter that training begins with; trained in `work`, where it is not there yet. `sampler`
    samples the policy's own confessions (default: the model)."""
    folder, warm = work / FOLDER, settings.warm_start
    if not folder.exists():
        own = work / f"{FOLDER}_work"
        arguments = post_training.arguments(warm, warm.prompts_per_step, seed, base.dtype, own)
        if warm.decay:
            arguments["lr_scheduler_type"] = "linear"
        model = loading.load_model(base.folder, base.dtype)
        if warm.own:
            engine = _untrained(model, chat, settings, sampler)
            rows = _in_turn(own_right_lines(engine, chat, task, settings, seed), warm, random.Random(seed))
        else:
            rows = demonstrations(task, chat, warm, settings.variant, seed)
        trainer = post_training.imitation(settings.lora, chat, model, rows, arguments)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(post_training.Progress("warm start"))
        trainer.train()
        with published_folder(folder) as temporary:
            loading.save_adapter(trainer.accelerator.unwrap_model(trainer.model), temporary, base.fingerprint)
        shutil.rmtree(own, ignore_errors=True)
        trainer.accelerator.free_memory()
    return folder


def _untrained(model: PreTrainedModel, chat: Chat, settings: Train, sampler: PolicyEngine | None) -> Engine:
    """What samples of the policy before it is trained."""
    if sampler is None:
        rows = settings.rollouts_per_step
        return TransformersEngine(model, chat.tokenizer, rows, eos=chat.eos)
    policy = get_peft_model(model, loading.lora_config(settings.lora))
    sampler.sync(policy, UNTRAINED)
    policy.unload()
    return sampler
