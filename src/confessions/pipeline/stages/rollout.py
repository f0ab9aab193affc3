"""Rollouts of one base model: one engine start for every checkpoint, condition, variant and task.

A checkpoint's block of cells is kept in the working folder as soon as it is sampled, so that a killed run goes on
behind it; finished files are linked out at the end.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm

from confessions.config import Sampling as SamplingSpec
from confessions.engines import Engine, Sampling, context, start
from confessions.models import loading
from confessions.models.chat import Chat
from confessions.pipeline.blocks import Cells, RolloutSpec
from confessions.rollouts import answers
from confessions.rollouts.two_turns import Asked, check_lengths, first_turn, stream_seed, to_frame, two_turns
from confessions.runtime import provenance
from confessions.runtime.errors import InputError, Say
from confessions.runtime.files import published, read_parquet, write_parquet
from confessions.tasks import get as get_task
from confessions.tasks.base import Task
from confessions.training.run import config_hash


def run(spec: RolloutSpec, model: Path, work: Path, say: Say, only: Sequence[str] = ()) -> None:
    """Sample the blocks of `spec` and publish its files, or `only` those of them.

    A file is the same whichever others are made with it: a rollout hangs on its own seed, and a record is of one file.
    """
    if unknown := [out for out in only if out not in spec.files]:
        raise InputError(f"{unknown[0]}: --spec has no such file; it has {', '.join(spec.files)}")
    files = {Path(out): blocks for out, blocks in spec.files.items() if not only or out in only}
    made = {out: [model, *_read_by(blocks)] for out, blocks in files.items()}
    job = provenance.begin("rollout", spec.dump(), dict.fromkeys(path for paths in made.values() for path in paths))
    base, spec = loading.fingerprint(model), _with_sampling(spec, model, say)
    kept = {
        out: {work / f"{config_hash(_key(spec, block, base))}.parquet": block for block in blocks}
        for out, blocks in files.items()
    }
    if todo := {path: block for parts in kept.values() for path, block in parts.items() if not _is_whole(path, say)}:
        _sample_blocks(spec, model, todo, say)
    for out, parts in kept.items():
        _join(list(parts), out)
        say(f"{sum(block.size for block in files[out])} rollouts in {out}")
    for out, sources in made.items():
        seeds = [spec.evaluation.seed, *{block.seed: None for block in files[out]}]
        replace(job, seeds=seeds).publish(out.parent, {out: sources}, out.stem)


def _sample_blocks(spec: RolloutSpec, model: Path, todo: Mapping[Path, Cells], say: Say) -> None:
    """Sample these blocks, each to its file, with one start of the engine. What is wrong with any of them, its adapter
    or its lengths, is said before the first."""
    options, size = spec.engine.dump(), spec.evaluation.batch_size
    adapters = [Path(adapter) for adapter in dict.fromkeys(block.adapter for block in todo.values()) if adapter]
    for adapter in adapters:
        loading.check_adapter(adapter, model)
    chat = loading.load_chat(model, spec.model.thinking, spec.model.keep_thinking)
    for block in todo.values():
        _check(chat, spec, block, context(options, model))
    engine = start(options, model, spec.model.dtype, chat.tokenizer, size, adapters, chat.eos)
    rollouts = sum(block.size for block in todo.values())
    cells = sum(block.size // block.rollouts for block in todo.values())
    served = f"{rollouts} rollouts in {cells} cells, {len(adapters)} adapters"
    say(f"engine started: {spec.engine.kind} with {spec.model.key}, for {served}")
    with tqdm(total=rollouts, desc=f"rollouts of {spec.model.key}") as bar:
        for path, block in todo.items():
            bar.set_postfix_str(f"{block.task}, step {block.step}")
            try:
                frame = sample(engine, _chat(chat, block), spec, block, bar.update)
            except torch.OutOfMemoryError:
                raise InputError(
                    f"{model}: out of GPU memory: lower evaluation.batch_size in config.yaml (now {size}); "
                    "the checkpoints that were finished are kept and not sampled again"
                ) from None
            write_parquet(frame, path)


def _join(parts: Sequence[Path], out: Path) -> None:
    """Publish a file of several blocks; one block is linked, so that there is no second copy."""
    if len(parts) > 1:
        write_parquet(pd.concat([read_parquet(part) for part in parts], ignore_index=True), out)
        return
    with published(out) as temporary:
        os.link(parts[0], temporary)


def _is_whole(kept: Path, say: Say) -> bool:
    """Whether a block was sampled before. What cannot be read any more is sampled again: the published file is a link
    to it, so that deleting that one alone would bring the damage back."""
    if not kept.exists():
        return False
    try:
        read_parquet(kept)
    except InputError:
        say(f"warning: {kept}: damaged; its rollouts are sampled again")
        return False
    return True


def sample(engine: Engine, chat: Chat, spec: RolloutSpec, block: Cells, progress=lambda n: None) -> pd.DataFrame:
    """The cells of one checkpoint as one frame; rows of a cell are numbered from 0 and pair up with other cells'."""
    task, evaluation = block.get_task(), spec.evaluation
    if block.answers:
        table = stored(block, evaluation.seed)
        every = [*zip(table["spec"], answers.completions(table), strict=True)]
    else:
        every = [(asked, None) for asked in task.specs("evaluation")]
    cells = [(condition, row) for condition in block.conditions for row in range(block.rollouts)]
    seeds = [tuple(stream_seed(evaluation.seed, row, turn) for turn in (1, 2)) for _, row in cells]
    adapter = Path(block.adapter) if block.adapter else None
    asked = [
        Asked(asked, pair, condition, adapter, answer)
        for pair, (condition, row) in zip(seeds, cells, strict=True)
        for asked, answer in [every[(row // 2 if block.replaced else row) % len(every)]]
    ]
    if block.replaced:
        asked = _replaced(engine, chat, task, asked, _turns(spec, block)[0])
    rollouts = two_turns(engine, chat, task, asked, *_turns(spec, block), variants=block.variants, progress=progress)
    frame = to_frame(
        rollouts,
        task=task.name,
        model=spec.model.key,
        adapter=str(adapter or ""),
        training_seed=block.seed,
        step=block.step,
        config_hash=config_hash(spec.dump()),
        **evaluation.sampling.model_dump(),
    )
    frame["row"] = [row for _, row in cells for _ in block.variants]
    frame["seed"] = [first for first, _ in seeds for _ in block.variants]
    if block.paraphrases is not None:
        frame["paraphrased"] = [chat.paraphrased(r.task.ids) != r.task.ids for r in rollouts]
    return frame


def _replaced(engine: Engine, chat: Chat, task: Task, asked: list[Asked], sampling: Sampling) -> list[Asked]:
    """The same, with the answer of each put in the other's place; two in a row have the same prompt."""
    size, attempts = engine.batch_size, []
    for first in range(0, len(asked), size):
        attempts += first_turn(engine, chat, task, asked[first : first + size], sampling)[1]
    return [replace(row, answer=attempts[i ^ 1]) for i, row in enumerate(asked)]


def _with_sampling(spec: RolloutSpec, model: Path, say: Say) -> RolloutSpec:
    """`spec` with the sampling that the model's authors recommend, where the configuration names none."""
    if spec.evaluation.sampling is not None:
        return spec
    sampling = loading.recommended_sampling(model)
    say(f"sampling of {spec.model.key}, as its authors recommend: {sampling}")
    evaluation = spec.evaluation.model_copy(update={"sampling": SamplingSpec(**sampling)})
    return spec.model_copy(update={"evaluation": evaluation})


def _chat(chat: Chat, block: Cells) -> Chat:
    """A block may ask for its confessions without the reasoning in front of the answer, or with some in other words."""
    return chat if block.keep_thinking is None else chat.keeping(block.keep_thinking, block.paraphrases or {})


def _read_by(blocks: Sequence[Cells]) -> list[Path]:
    """The adapters, files of problems and stored answers that these blocks need."""
    return [Path(file) for block in blocks for file in (block.adapter, block.problems, block.answers) if file]


def _turns(spec: RolloutSpec, block: Cells) -> list[Sampling]:
    sampling = spec.evaluation.sampling.model_dump()
    return [Sampling(limit, **sampling) for limit in block.limits(spec.evaluation)]


def stored(block: Cells, seed: int) -> pd.DataFrame:
    """The answers that a block asks about: the first held-out ones of its file, or those that it draws or changes by
    `seed`. InputError where it has too few."""
    file, n, task = Path(block.answers), block.rollouts, block.get_task()
    modified = file.stat().st_mtime_ns if file.exists() else None
    table = _held_out(block.answers, modified, block.task, block.problems)
    if len(table) < n:
        raise InputError(
            f"{block.answers}: {len(table)} held-out answers to {task.name}, and {n} are asked about: lower rollouts"
        )
    try:
        if block.met_share is not None:
            return answers.with_met_share(table, n, block.met_share, seed)
        return answers.with_one_fault(table, task, n, seed) if block.one_fault else table[:n]
    except InputError as error:
        raise InputError(f"{block.answers}: {error}") from None


@lru_cache(maxsize=8)
def _held_out(file: str, modified: int | None, task: str, problems: str | None) -> pd.DataFrame:
    """The held-out answers of a file, which every checkpoint is asked about: read and graded once."""
    return answers.stored(file, get_task(task, problems), "evaluation")


def _check(chat: Chat, spec: RolloutSpec, block: Cells, context: int) -> None:
    """InputError where a block's rollouts cannot be sampled."""
    task, limits = block.get_task(), [turn.max_new_tokens for turn in _turns(spec, block)]
    asked = task.specs("evaluation")
    if block.answers:
        table = stored(block, spec.evaluation.seed)
        if any(chat.split([*row.task_ids]).body != row.y for row in table.itertuples()):
            raise InputError(f"{block.answers}: its token ids are not those of {spec.model.key}: leave one of them out")
        asked, limits[0] = list(table["spec"]), max(map(len, table["task_ids"]))
    check_lengths(chat, task, asked, sum(limits), context, block.conditions, block.variants)


def _key(spec: RolloutSpec, block: Cells, base: str) -> dict:
    """What a block's rollouts depend on; not the other blocks, not where they are written, and not the settings that
    one changes when memory runs out: what was finished before is kept."""
    weights = Path(block.adapter or "") / "adapter_model.safetensors"
    adapter = hashlib.sha256(weights.read_bytes()).hexdigest() if block.adapter and weights.exists() else None
    kept = spec.dump()
    del kept["files"], kept["evaluation"]["batch_size"]
    kept["engine"] = spec.engine.kind
    known = {**kept, "block": block.dump(), "base": base, "adapter": adapter}
    if block.answers and Path(block.answers).exists():
        known["answers"] = provenance.content(Path(block.answers))
    return {**known, **provenance.content(block.get_task().problems)}
