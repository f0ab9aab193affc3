"""The weak judge that a block of the configuration names."""

from pathlib import Path

from confessions.judge import Judge, LabelTrusting, LanguageModelJudge
from confessions.stages import Block
from confessions.tasks.base import Task


def make_judge(block: Block, task: Task) -> Judge:
    """The weak judge of an experiment; the llm one loads its model."""
    if block["kind"] == "label_trusting":
        return LabelTrusting(task)
    from confessions import models
    from confessions.engines.transformers import TransformersEngine

    folder, model = Path(block["model"]["folder"]), block["model"]
    chat = models.load_chat(folder, model["thinking"])
    base, size = models.load_model(folder, model["dtype"]), block["batch_size"]
    engine = TransformersEngine(base, chat.tokenizer, size, eos=chat.eos)
    name = f"llm:{model['key']}"
    return LanguageModelJudge(engine, chat, task, name, block["threshold"], block["min_mass"])
