"""The weak judge that a block of the configuration names."""

from pathlib import Path

from confessions.pipeline.stages import Block
from confessions.runtime import outside
from confessions.scoring.judge import Judge, LabelTrusting, LanguageModelJudge
from confessions.tasks.base import Task


def make_judge(block: Block, task: Task) -> Judge:
    """The weak judge of an experiment; the llm one loads its model."""
    if block["kind"] == "label_trusting":
        return LabelTrusting(task)
    if block["kind"] == "own":
        return outside.member(block["path"], "JUDGE")(task)
    from confessions.engines import start
    from confessions.models import loading

    folder, model = Path(block["model"]["folder"]), block["model"]
    chat, name = loading.load_chat(folder, model["thinking"]), f"llm:{model['key']}"
    engine = start(block["engine"], folder, model["dtype"], chat.tokenizer, block["batch_size"], eos=chat.eos)
    return LanguageModelJudge(engine, chat, task, name, block["threshold"], block["min_mass"])
