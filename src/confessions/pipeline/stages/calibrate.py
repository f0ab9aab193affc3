"""How often a model meets each kind of requirement at each level: a calibration of the task `instructions`.

The same start of the engine can sample answers to keep (frozen answers) to the instances that the calibration leaves.
"""

from collections.abc import Callable, Mapping, Sequence
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
from confessions.rollouts.two_turns import opening
from confessions.runtime import provenance
from confessions.runtime.errors import InputError, Say
from confessions.runtime.files import published, write_parquet
from confessions.tasks import get as get_task
from confessions.tasks.base import Spec, Task
from confessions.tasks.instructions import calibration
from confessions.tasks.instructions.instances import PARTS, Part


def run(spec: CalibrationSpec, model: Path, out: Path, say: Say) -> None:
    """Write calibration.json and answers.parquet to the folder `out`, and frozen_{task}.parquet for each part of the
    kinds where `spec` asks for frozen answers."""
    job = provenance.begin("calibrate", spec.dump(), [model], [spec.seed])
    fingerprint, chat = loading.fingerprint(model), loading.load_chat(model, spec.model.thinking)
    asked = {part: calibration.asked(part, spec.calibration.per_level) for part in PARTS}
    _check_lengths(chat, asked, spec.sampling.max_new_tokens, context(spec.engine.dump(), model))
    sample = partial(_sample, _engine(spec, model, chat, say), chat, spec, model)
    frames = {part: sample(_task(part), specs, 1) for part, specs in asked.items()}
    found = calibration.measure(
        frames,
        model=spec.model.dump(),
        fingerprint=fingerprint,
        sampling=spec.sampling.dump() | {"seed": spec.seed, "engine": spec.engine.kind},
        revision=provenance.revision(),
        bounds=(spec.calibration.lowest, spec.calibration.highest),
    )
    file, table = out / "calibration.json", out / "answers.parquet"
    with published(file) as temporary:
        temporary.write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    write_parquet(calibration.joined(frames), table)
    kept = sum(map(len, found.kept.values()))
    say(f"{found.answers} answers, {found.refusals} refusals: {kept} of {len(found.levels)} levels kept in {file}")
    for line in found.warnings():
        say(f"warning: {line}")
    frozen, refused = _freeze(spec, file, sample, say) if spec.calibration.frozen else ([], [])
    job.publish(out, {made: [model] for made in (file, table, *frozen)}, out.name)
    if refused:
        raise InputError("; ".join(refused))


def _task(part: Part) -> Task:
    return get_task(calibration.task_name(part))


def _check_lengths(chat: Chat, asked: Mapping[Part, Sequence[Spec]], new_tokens: int, limit: int) -> None:
    """InputError where an answer to what is asked may not fit the model's context."""
    prompts = (chat.prompt_ids(opening(_task(part), spec)) for part, specs in asked.items() for spec in specs)
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
    spec: CalibrationSpec, file: Path, sample: Callable[..., pd.DataFrame], say: Say
) -> tuple[list[Path], list[str]]:
    """Answers to the instances that the calibration in `file` leaves, a table beside it for each part of the kinds; and
    why a part has none."""
    settings, tables, refused = spec.calibration.frozen, [], []
    for part in PARTS:
        task = _task(part).on(str(file))
        try:
            parts = [
                sample(task, task.specs(split)[:n], settings.samples, split=split)
                for split, n in settings.instances(part).items()
            ]
        except InputError as error:
            refused.append(f"no frozen answers for {task.name}: {error}")
            continue
        tables.append(file.with_name(f"frozen_{task.name}.parquet"))
        write_parquet(calibration.joined(dict(enumerate(parts))), tables[-1])
        say(f"{sum(map(len, parts))} answers in {tables[-1]}")
    return tables, refused
