"""How often a model meets what a task asks (a calibration): of `instructions` each kind of requirement at each level,
of programs each problem.

The same start of the engine can sample answers to keep (frozen answers) to the instances of `instructions` that the
calibration leaves. Of programs the answers that are measured are such answers.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm

from confessions.engines import Engine, Sampling, context, start
from confessions.models import loading
from confessions.models.chat import Chat
from confessions.pipeline.blocks import CalibrationSpec
from confessions.rollouts import answers
from confessions.runtime import provenance
from confessions.runtime.errors import InputError, Say
from confessions.runtime.files import published, write_parquet
from confessions.tasks import get as get_task
from confessions.tasks.base import Asked, Spec, Task, opening


def run(spec: CalibrationSpec, model: Path, out: Path, say: Say) -> None:
    """Write calibration.json and answers.parquet to the folder `out`, and frozen_{task}.parquet for each part of the
    kinds of `instructions` where `spec` asks for frozen answers."""
    job = provenance.begin("calibrate", spec.dump(), [model], [spec.seed])
    fingerprint, chat = loading.fingerprint(model), loading.load_chat(model, spec.model.thinking)
    measured = get_task(spec.task)
    measured.ready()
    asked = measured.asked(spec.calibration.per_level, spec.calibration.samples)
    _check_lengths(chat, asked, spec.sampling.max_new_tokens, context(spec.engine.dump(), model))
    sample = partial(_sample, _engine(spec, model, chat, say), chat, spec, model)
    every = pd.concat([sample(one.task, one.specs, one.samples, **one.columns) for one in asked], ignore_index=True)
    found = measured.calibration(
        every,
        model=spec.model.dump(),
        fingerprint=fingerprint,
        sampling=spec.sampling.dump() | {"seed": spec.seed, "engine": spec.engine.kind},
        revision=provenance.revision(),
        bounds=(spec.calibration.lowest, spec.calibration.highest),
    )
    file, table = out / "calibration.json", out / "answers.parquet"
    with published(file) as temporary:
        temporary.write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    write_parquet(every, table)
    say(f"{found.answers} answers: {found.summary()} in {file}")
    for line in found.warnings():
        say(f"warning: {line}")
    frozen, refused = _freeze(spec, asked, file, sample, say) if spec.calibration.frozen else ([], [])
    job.publish(out, {made: [model] for made in (file, table, *frozen)}, out.name)
    if refused:
        raise InputError("; ".join(refused))


def _check_lengths(chat: Chat, asked: Sequence[Asked], new_tokens: int, limit: int) -> None:
    """InputError where an answer to what is asked may not fit the model's context."""
    prompts = (chat.prompt_ids(opening(one.task, spec)) for one in asked for spec in one.specs)
    if (longest := max(map(len, prompts)) + new_tokens) > limit:
        raise InputError(
            f"an answer may need {longest} tokens and the model's context is {limit}: lower max_task_tokens"
        )


def _engine(spec: CalibrationSpec, model: Path, chat: Chat, say: Say) -> Engine:
    engine = start(spec.engine.dump(), model, spec.model.dtype, chat.tokenizer, spec.batch_size, (), chat.eos)
    say(f"engine started: {spec.engine.kind} with {spec.model.key}")
    return engine


def _sample(
    engine: Engine, chat: Chat, spec: CalibrationSpec, model: Path, task: Task, specs: Sequence[Spec], n: int, **columns
) -> pd.DataFrame:
    """`n` answers to each of `specs`, with a bar."""
    sampling, named = Sampling(**spec.sampling.dump()), {"model": spec.model.key, **columns}
    with tqdm(total=len(specs) * n, desc=f"answers of {spec.model.key}, {task.name}") as bar:
        try:
            return answers.sample(engine, chat, task, specs, n, sampling, spec.seed, bar.update, **named)
        except torch.OutOfMemoryError:
            raise InputError(f"{model}: out of GPU memory: lower the batch size (now {spec.batch_size})") from None


def _freeze(
    spec: CalibrationSpec, asked: Sequence[Asked], file: Path, sample: Callable[..., pd.DataFrame], say: Say
) -> tuple[list[Path], list[str]]:
    """Answers to the instances that the calibration in `file` leaves, a table beside it for each part of the kinds; and
    why a part has none."""
    settings, tables, refused = spec.calibration.frozen, [], []
    for one in asked:
        task = one.task.on(str(file))
        try:
            parts = [
                sample(task, task.specs(split)[:n], settings.samples, split=split)
                for split, n in settings.instances(task.part).items()
            ]
        except InputError as error:
            refused.append(f"no frozen answers for {task.name}: {error}")
            continue
        tables.append(file.with_name(f"frozen_{task.name}.parquet"))
        write_parquet(pd.concat(parts, ignore_index=True), tables[-1])
        say(f"{sum(map(len, parts))} answers in {tables[-1]}")
    return tables, refused
