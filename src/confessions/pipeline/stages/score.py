"""Ground truth, report and the judge's verdict for stored rollouts; one judge for all files.

A language model does not judge the rollouts of probes: in its place stands the grader that believes the answer.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from pydantic import ValidationError

from confessions.models.endpoint import is_endpoint
from confessions.pipeline.blocks import LoadedJudge, ScoreSpec
from confessions.pipeline.stages.judges import make_judge
from confessions.runtime import provenance
from confessions.runtime.errors import InputError, Say, first_fault
from confessions.runtime.files import FIX, read_parquet, write_parquet
from confessions.scoring import claim_tokens
from confessions.scoring.judge import Judge, LabelTrusting, verdict_columns
from confessions.scoring.scores import P_TOKEN, score_frame
from confessions.tasks import get as get_task

TEXTS = ("task", "y", "yc", "zc", "z", "task_finish", "confession_finish")


def run(spec: ScoreSpec, rollouts: Sequence[Path], outs: Sequence[Path], say: Say, model: Path | None = None) -> None:
    """`model`: the folder of the one that wrote the rollouts; without it no probabilities of claims are known."""
    if len(rollouts) != len(outs):
        raise InputError(f"{len(rollouts)} --rollouts and {len(outs)} --out: give one --out for each")
    for block in (spec, *spec.probes.values()):
        block.get_task().ready()
    if model and is_endpoint(model):
        model = None  # its rollouts have no tokens
    decode = claim_tokens.load(model) if model else None
    read, columns = ([model / claim_tokens.TOKENIZER], claim_tokens.COLUMNS) if model else ([], ())
    folders = spec.judge_folders
    made = {
        out: [source, *read, *([] if str(out) in spec.probes else folders)]
        for source, out in zip(rollouts, outs, strict=True)
    }
    job = provenance.begin("score", spec.dump(), [*rollouts, *read, *folders])
    own = make_judge(spec.judge, spec.get_task())
    for out, (source, *_) in made.items():
        judge = _of_probe(spec, out) if str(out) in spec.probes else own
        frame = read_parquet(source, columns, texts=TEXTS, objects=("spec",))
        if frame.empty:
            raise InputError(f"{source}: holds no rollouts; {FIX}")
        _check_specs(frame, source)
        scores = score_frame(frame)
        if decode:
            scores[P_TOKEN] = claim_tokens.p_met(decode, frame, scores)
        # Variants ask about one and the same answer: it is judged once.
        answers = frame[["spec", "y"]].drop_duplicates()
        found = judge.verdicts([json.loads(s) for s in answers["spec"]], list(answers["y"]))
        verdict = dict(zip(answers.itertuples(index=False, name=None), found, strict=True))
        verdicts = [verdict[pair] for pair in zip(frame["spec"], frame["y"], strict=True)]
        scores = scores.assign(**verdict_columns(judge, verdicts))
        write_parquet(scores, out)
        say(f"scores of {len(scores)} rollouts in {out}")
    job.publish_all(made)


def _of_probe(spec: ScoreSpec, out: Path) -> Judge:
    task = spec.probes[str(out)].get_task()
    return LabelTrusting(task) if isinstance(spec.judge, LoadedJudge) else make_judge(spec.judge, task)


def _check_specs(frame: pd.DataFrame, source: Path) -> None:
    """InputError, with the row, where a spec is none of its row's task."""
    pairs = frame[["task", "spec"]].reset_index(drop=True).drop_duplicates()
    for row, name, spec in pairs.itertuples(name=None):
        try:
            get_task(name).spec_model.model_validate_json(spec)
        except ValidationError as error:
            raise InputError(f"{source}: row {row + 1}: {first_fault(error, 'spec')}; {FIX}") from None
