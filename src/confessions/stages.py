"""The workflow's stages: each takes its block of the configuration (see specs.py) and files, and writes files."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from confessions import models
from confessions import train as training
from confessions.chat import Chat
from confessions.config import Train
from confessions.engines import Sampling
from confessions.engines.transformers import TransformersEngine
from confessions.files import published, read_parquet
from confessions.judge import Judge, LabelTrusting, LanguageModelJudge
from confessions.rollout import check_lengths, stream_seed, to_frame, two_turns
from confessions.scores import score_frame
from confessions.tasks import get as get_task
from confessions.tasks.base import Task

Say = Callable[[str], None]
Block = Mapping[str, Any]


def make_judge(block: Block, task: Task) -> Judge:
    """The weak judge of an experiment; the llm one loads its model."""
    if block["kind"] == "label_trusting":
        return LabelTrusting(task)
    folder, model = Path(block["model"]["folder"]), block["model"]
    tokenizer = models.load_tokenizer(folder)
    engine = TransformersEngine(models.load_model(folder, model["dtype"]), tokenizer)
    return LanguageModelJudge(engine, Chat(tokenizer, model["thinking"]), task, block["max_attempts"])


def train(spec: Block, model: Path, work: Path, out: Path, say: Say) -> None:
    settings, task = Train.model_validate(spec["train"]), get_task(spec["task"])
    # Another configuration or another base model never goes on from this one's checkpoints.
    base = models.fingerprint(model)
    work = work / training.config_hash({**spec, "base": base})
    judge = make_judge(spec["judge"], task)
    policy = spec["policy"]
    training.run(settings, spec["seed"], task, judge, model, policy["dtype"], policy["thinking"], base, work)
    training.publish(settings, spec, work, out, say)


def rollout(spec: Block, model: Path, adapter: Path, step: int, out: Path, say: Say) -> None:
    evaluation, policy, task = spec["evaluation"], spec["policy"], get_task(spec["task"])
    models.check_adapter(adapter, model)
    tokenizer = models.load_tokenizer(model)
    engine = TransformersEngine(models.load_model(model, policy["dtype"]), tokenizer, evaluation["batch_size"])
    chat = Chat(tokenizer, policy["thinking"])
    n, every = evaluation["rollouts"], task.specs("evaluation")
    specs = [every[row % len(every)] for row in range(n)]
    turns = [Sampling(evaluation[k], **evaluation["sampling"]) for k in ("max_task_tokens", "max_confession_tokens")]
    check_lengths(
        chat,
        task,
        specs,
        "default",
        sum(t.max_new_tokens for t in turns),
        engine.model.config.max_position_embeddings,
    )
    seeds = [tuple(stream_seed(evaluation["seed"], row, turn) for turn in (1, 2)) for row in range(n)]
    with tqdm(total=n, desc=f"rollouts of step {step}", unit="rollout") as bar:
        rollouts = two_turns(engine, chat, task, specs, seeds, *turns, adapters=[adapter] * n, progress=bar.update)
    frame = to_frame(
        rollouts,
        task=task.name,
        model=policy["key"],
        adapter=str(adapter),
        step=step,
        condition="baseline",
        variant="default",
        config_hash=training.config_hash(spec),
    )
    frame["seed"] = [first for first, _ in seeds]
    with published(out) as temporary:
        frame.to_parquet(temporary, index=False)
    say(f"{n} rollouts in {out}")


def score(spec: Block, rollouts: Path, out: Path, say: Say) -> None:
    task = get_task(spec["task"])
    frame = read_parquet(rollouts, columns=("task", "spec", "y", "yc", "zc", "z", "task_finish", "confession_finish"))
    scores = score_frame(frame)
    specs = [json.loads(s) for s in frame["spec"]]
    scores["judge_pass"] = make_judge(spec["judge"], task).passes(specs, list(frame["y"]))
    with published(out) as temporary:
        scores.to_parquet(temporary, index=False)
    say(f"scores of {len(scores)} rollouts in {out}")
