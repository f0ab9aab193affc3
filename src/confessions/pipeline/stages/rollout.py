"""Rollouts of one base model: one engine start for every checkpoint, condition, variant and task.

A checkpoint's block of cells is kept in the working folder as soon as it is sampled, so that a killed run goes on
behind it; finished files are linked out at the end.
"""

import hashlib
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm

from confessions.config import Sampling as SamplingSpec
from confessions.engines import Completion, Engine, Sampling, context, start
from confessions.engines.endpoint import Endpoint, Reply
from confessions.models import endpoint, loading
from confessions.models.chat import Chat
from confessions.pipeline.blocks import Cells, RolloutSpec
from confessions.rollouts import answers, by_text
from confessions.rollouts.two_turns import Asked, Rollout, check_lengths, first_turn, stream_seed, to_frame, two_turns
from confessions.runtime import provenance
from confessions.runtime.errors import InputError, Say
from confessions.runtime.files import published, read_parquet, write_parquet
from confessions.tasks import get as get_task
from confessions.tasks.base import Task
from confessions.training.run import config_hash

Sample = Callable[[Cells, Callable[[int], None]], pd.DataFrame]  # a block, and what is told how many are finished


def run(spec: RolloutSpec, model: Path, work: Path, say: Say, only: Sequence[str] = ()) -> None:
    """Sample the blocks of `spec` and publish its files, or `only` those of them.

    A file is the same whichever others are made with it: a rollout hangs on its own seed, and a record is of one file.
    """
    if unknown := [out for out in only if out not in spec.files]:
        raise InputError(f"{unknown[0]}: --spec has no such file; it has {', '.join(spec.files)}")
    files = {Path(out): blocks for out, blocks in spec.files.items() if not only or out in only}
    made = {out: [model, *_read_by(blocks)] for out, blocks in files.items()}
    job = provenance.begin("rollout", spec.dump(), dict.fromkeys(path for paths in made.values() for path in paths))
    if endpoint.is_endpoint(model):
        base = endpoint.fingerprint(model)
    else:
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
    sampled = (_asking if endpoint.is_endpoint(model) else _engine)(spec, model, todo.values(), say)
    rollouts = sum(block.size for block in todo.values())
    with tqdm(total=rollouts, desc=f"rollouts of {spec.model.key}") as bar:
        for path, block in todo.items():
            bar.set_postfix_str(f"{block.task}, step {block.step}")
            try:
                frame = sampled(block, bar.update)
            except torch.OutOfMemoryError:
                raise InputError(
                    f"{model}: out of GPU memory: lower evaluation.batch_size in config.yaml (now "
                    f"{spec.evaluation.batch_size}); the checkpoints that were finished are kept and not sampled again"
                ) from None
            write_parquet(frame, path)


def _engine(spec: RolloutSpec, model: Path, todo: Collection[Cells], say: Say) -> Sample:
    """The sampler of a model that is loaded."""
    options, size = spec.engine.dump(), spec.evaluation.batch_size
    adapters = [Path(adapter) for adapter in dict.fromkeys(block.adapter for block in todo) if adapter]
    for adapter in adapters:
        loading.check_adapter(adapter, model)
    chat = loading.load_chat(model, spec.model.thinking, spec.model.keep_thinking)
    for block in todo:
        _check(chat, spec, block, context(options, model))
    engine = start(options, model, spec.model.dtype, chat.tokenizer, size, adapters, chat.eos)
    say(f"engine started: {spec.engine.kind} with {spec.model.key}, for {_amount(todo)}, {len(adapters)} adapters")
    return lambda block, progress: sample(engine, _chat(chat, block), spec, block, progress)


def _asking(spec: RolloutSpec, model: Path, todo: Collection[Cells], say: Say) -> Sample:
    """The sampler of a model that Inspect asks."""
    asked = Endpoint(model)
    for block in todo:
        if block.answers:
            stored(block, spec.evaluation.seed)
    sampling = spec.evaluation.sampling or "as the endpoint has it by itself"
    say(f"{asked.name} is asked through Inspect, for {_amount(todo)}; sampling: {sampling}")
    return partial(sample_by_text, asked, spec)


def _amount(todo: Collection[Cells]) -> str:
    cells = sum(block.size // block.rollouts for block in todo)
    return f"{sum(block.size for block in todo)} rollouts in {cells} cells"


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
    task, asked = block.get_task(), _asked(spec, block, answers.completions)
    if block.replaced:
        asked = _replaced(asked, _attempts(engine, chat, task, asked, _turns(spec, block)[0]))
    rollouts = two_turns(engine, chat, task, asked, *_turns(spec, block), variants=block.variants, progress=progress)
    frame = _frame(rollouts, spec, block, asked)
    if block.paraphrases is not None:
        frame["paraphrased"] = [chat.paraphrased(r.task.ids) != r.task.ids for r in rollouts]
    return frame


def sample_by_text(asking: Endpoint, spec: RolloutSpec, block: Cells, progress=lambda n: None) -> pd.DataFrame:
    """The same of a model that Inspect asks; what it does not say is null."""
    task, asked, limits = block.get_task(), _asked(spec, block, by_text.stored), block.limits(spec.evaluation)
    sampling = spec.evaluation.sampling
    if block.replaced:
        asked = _replaced(asked, by_text.first_turn(asking, task, asked, limits[0], sampling))
    keep = spec.model.keep_thinking
    rows = by_text.two_turns(asking, task, asked, limits, sampling, block.variants, keep, progress)
    return _frame(rows, spec, block, asked)


def _asked(
    spec: RolloutSpec, block: Cells, turns: Callable[[pd.DataFrame], Sequence[Completion | Reply]]
) -> list[Asked]:
    """What each rollout of a block begins with, conditions outermost; `turns` makes stored answers turn 1."""
    task, seed = block.get_task(), spec.evaluation.seed
    if block.answers:
        table = stored(block, seed)
        every = [*zip(table["spec"], turns(table), strict=True)]
    else:
        every = [(asked, None) for asked in task.specs("evaluation")]
    adapter = Path(block.adapter) if block.adapter else None
    return [
        Asked(asked, tuple(stream_seed(seed, row, turn) for turn in (1, 2)), condition, adapter, answer)
        for condition in block.conditions
        for row in range(block.rollouts)
        for asked, answer in [every[(row // 2 if block.replaced else row) % len(every)]]
    ]


def _frame(
    rollouts: Sequence[Rollout | Mapping[str, object]], spec: RolloutSpec, block: Cells, asked: Sequence[Asked]
) -> pd.DataFrame:
    """The rollouts of a block, variants innermost, with the columns that name each."""
    sampling = spec.evaluation.sampling
    frame = to_frame(
        rollouts,
        task=block.get_task().name,
        model=spec.model.key,
        adapter=str(asked[0].adapter or ""),
        training_seed=block.seed,
        step=block.step,
        config_hash=config_hash(spec.dump()),
        **(sampling.model_dump() if sampling else dict.fromkeys(SamplingSpec.model_fields)),
    )
    frame["row"] = [i % block.rollouts for i in range(len(asked)) for _ in block.variants]
    frame["seed"] = [one.seeds[0] for one in asked for _ in block.variants]
    return frame


def _attempts(engine: Engine, chat: Chat, task: Task, asked: list[Asked], sampling: Sampling) -> list[Completion]:
    size, attempts = engine.batch_size, []
    for first in range(0, len(asked), size):
        attempts += first_turn(engine, chat, task, asked[first : first + size], sampling)[1]
    return attempts


def _replaced(asked: list[Asked], attempts: Sequence[Completion | Reply]) -> list[Asked]:
    """The same, with the answer of each put in the other's place; two in a row have the same prompt."""
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
