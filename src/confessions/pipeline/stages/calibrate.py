"""How often a model meets what a task asks (a calibration): of `instructions` each kind of requirement at each level,
of programs each problem.

The same start of the engine can sample answers to keep (frozen answers) to the instances of `instructions` that the
calibration leaves. Of programs the answers that are measured are such answers.
"""

from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm

from confessions.engines import Sampling, context, start
from confessions.models import loading
from confessions.pipeline.blocks import CalibrationSpec
from confessions.rollouts import answers
from confessions.rollouts.two_turns import opening
from confessions.runtime import provenance
from confessions.runtime.errors import InputError, Say
from confessions.runtime.files import published, write_parquet
from confessions.tasks import get as get_task


def run(spec: CalibrationSpec, model: Path, out: Path, say: Say) -> None:
    """Write calibration.json and answers.parquet to the folder `out`, and frozen_{task}.parquet for each part of the
    kinds of `instructions` where `spec` asks for frozen answers."""
    settings, sampling = spec.calibration, Sampling(**spec.sampling.dump())
    name, seed, options = spec.model.key, spec.seed, spec.engine.dump()
    job = provenance.begin("calibrate", spec.dump(), [model], [seed])
    fingerprint = loading.fingerprint(model)
    chat = loading.load_chat(model, spec.model.thinking)
    measured = get_task(spec.task)
    measured.ready()
    asked = measured.asked(settings.per_level, settings.samples)
    longest = max(
        len(chat.prompt_ids(opening(one.task, instance))) + sampling.max_new_tokens
        for one in asked
        for instance in one.specs
    )
    if longest > (limit := context(options, model)):
        raise InputError(
            f"an answer may need {longest} tokens and the model's context is {limit}: lower max_task_tokens"
        )
    engine = start(options, model, spec.model.dtype, chat.tokenizer, spec.batch_size, (), chat.eos)
    say(f"engine started: {spec.engine.kind} with {name}")

    def sample(task, specs, n, **columns):
        with tqdm(total=len(specs) * n, desc=f"answers of {name}, {task.name}") as bar:
            try:
                return answers.sample(engine, chat, task, specs, n, sampling, seed, bar.update, model=name, **columns)
            except torch.OutOfMemoryError:
                raise InputError(f"{model}: out of GPU memory: lower the batch size (now {spec.batch_size})") from None

    every = pd.concat([sample(one.task, one.specs, one.samples, **one.columns) for one in asked], ignore_index=True)
    found = measured.calibration(
        every,
        model=spec.model.dump(),
        fingerprint=fingerprint,
        sampling=spec.sampling.dump() | {"seed": seed, "engine": spec.engine.kind},
        revision=provenance.revision(),
        bounds=(settings.lowest, settings.highest),
    )
    file, table = out / "calibration.json", out / "answers.parquet"
    with published(file) as temporary:
        temporary.write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    with published(table) as temporary:
        write_parquet(every, temporary)
    made = {file: [model], table: [model]}
    say(f"{found.answers} answers: {found.summary()} in {file}")
    for line in found.warnings():
        say(f"warning: {line}")
    refused = []
    for one in asked if settings.frozen else ():
        task, parts = one.task.on(str(file)), []
        try:
            for split, n in settings.frozen.instances(task.part).items():
                parts.append(sample(task, task.specs(split)[:n], settings.frozen.samples, split=split))
        except InputError as error:
            refused.append(f"no frozen answers for {task.name}: {error}")
            continue
        frozen = out / f"frozen_{task.name}.parquet"
        with published(frozen) as temporary:
            write_parquet(pd.concat(parts, ignore_index=True), temporary)
        made[frozen] = [model]
        say(f"{sum(map(len, parts))} answers in {frozen}")
    job.publish(out, made, out.name)
    if refused:
        raise InputError("; ".join(refused))
