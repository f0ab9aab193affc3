"""The weak judge that a block of the configuration names."""

from pathlib import Path

from confessions.config import Verifying as VerifyingSpec
from confessions.engines.endpoint import Endpoint
from confessions.models.endpoint import is_endpoint
from confessions.pipeline.blocks import DigestedJudge, LoadedJudge
from confessions.pipeline.blocks import Judge as JudgeSpec
from confessions.runtime import outside
from confessions.scoring.endpoint_judge import EndpointJudge
from confessions.scoring.judge import Judge, LabelTrusting, LanguageModelJudge, Verifying
from confessions.tasks.base import Task


def make_judge(spec: JudgeSpec, task: Task) -> Judge:
    """The weak judge of an experiment; the llm one loads its model, or has it asked."""
    if isinstance(spec, DigestedJudge):
        return outside.member(spec.path, "JUDGE")(task)
    if isinstance(spec, VerifyingSpec):
        return Verifying(task)
    if not isinstance(spec, LoadedJudge):
        return LabelTrusting(task)
    folder, model, name = Path(spec.model.folder), spec.model, f"llm:{spec.model.key}"
    if is_endpoint(folder):
        return EndpointJudge(Endpoint(folder), task, name, spec.threshold, spec.min_mass)
    from confessions.engines import start
    from confessions.models import loading

    chat = loading.load_chat(folder, model.thinking)
    engine = start(spec.engine.dump(), folder, model.dtype, chat.tokenizer, spec.batch_size, eos=chat.eos)
    return LanguageModelJudge(engine, chat, task, name, spec.threshold, spec.min_mass)
