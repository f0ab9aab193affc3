"""How often a model meets each kind of requirement at each level: a calibration of the task `instructions`.

The same start of the engine can sample answers to keep (frozen answers) to the instances that the calibration leaves.
"""

from pathlib import Path

import torch
from tqdm import tqdm

from confessions.engines import Sampling, context, start
from confessions.models import loading
from confessions.pipeline.blocks import CalibrationSpec
from confessions.rollouts import answers
from confessions.runtime import provenance
from confessions.runtime.errors import InputError, Say
from confessions.runtime.files import published, write_parquet
from confessions.tasks import get as get_task
from confessions.tasks.base import opening
from confessions.tasks.instructions import calibration
from confessions.tasks.instructions.instances import PARTS


def run(spec: CalibrationSpec, model: Path, out: Path, say: Say) -> None:
    """Write calibration.json and answers.parquet to the folder `out`, and frozen_{task}.parquet for each part of the
    kinds where `spec` asks for frozen answers."""
    settings, sampling = spec.calibration, Sampling(**spec.sampling.dump())
    name, seed, options = spec.model.key, spec.seed, spec.engine.dump()
    job = provenance.begin("calibrate", spec.dump(), [model], [seed])
    fingerprint = loading.fingerprint(model)
    chat = loading.load_chat(model, spec.model.thinking)
    tasks = {part: get_task(calibration.task_name(part)) for part in PARTS}
    asked = {part: calibration.asked(part, settings.per_level) for part in PARTS}
    longest = max(
        len(chat.prompt_ids(opening(tasks[part], one))) + sampling.max_new_tokens
        for part in PARTS
        for one in asked[part]
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

    frames = {part: sample(tasks[part], asked[part], 1) for part in PARTS}
    found = calibration.measure(
        frames,
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
        write_parquet(calibration.joined(frames), temporary)
    made = {file: [model], table: [model]}
    kept = sum(map(len, found.kept.values()))
    say(f"{found.answers} answers, {found.refusals} refusals: {kept} of {len(found.levels)} levels kept in {file}")
    for line in found.warnings():
        say(f"warning: {line}")
    refused = []
    for part in PARTS if settings.frozen else ():
        task, parts = tasks[part].on(str(file)), []
        try:
            for split, n in settings.frozen.instances(part).items():
                parts.append(sample(task, task.specs(split)[:n], settings.frozen.samples, split=split))
        except InputError as error:
            refused.append(f"no frozen answers for {task.name}: {error}")
            continue
        frozen = out / f"frozen_{task.name}.parquet"
        with published(frozen) as temporary:
            write_parquet(calibration.joined(dict(enumerate(parts))), temporary)
        made[frozen] = [model]
        say(f"{sum(map(len, parts))} answers in {frozen}")
    job.publish(out, made, out.name)
    if refused:
        raise InputError("; ".join(refused))
