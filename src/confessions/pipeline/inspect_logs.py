"""Rollouts and their scores as Inspect logs, one a cell, or one for so many steps of a training run: `inspect view
--log-dir results/logs` browses them.

A sample is a rollout: every message, z and zc as reasoning, with its scores. The log's results are our own metrics
with our own intervals (metrics.py, stats.py); Inspect computes nothing. Needs the extra: confessions[inspect].
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from confessions.analysis.metrics import METRICS, measure
from confessions.analysis.stats import estimates
from confessions.analysis.tables.base import SCORE_COLUMNS
from confessions.pipeline.paths import log_name
from confessions.prompts import system_prompt
from confessions.prompts.report import HIGHEST_GRADE
from confessions.runtime import provenance
from confessions.runtime.errors import InputError
from confessions.runtime.files import FIX, published, read_parquet
from confessions.tasks import get as get_task
from confessions.tasks.base import Wording
from confessions.training import kept_rollouts

if TYPE_CHECKING:
    from inspect_ai.log import EvalResults, EvalSample
    from inspect_ai.model import ChatMessage, ModelUsage
    from inspect_ai.scorer import Score
    from inspect_ai.viewer import ViewerConfig

CHECKPOINT = ("task", "model", "adapter", "training_seed", "step", "config_hash")  # the same in every row of a file
CELL = ("condition", "variant")
ROLLOUT = (*CHECKPOINT, *CELL, "row", "seed", "spec", "x", "z", "y", "xc", "zc", "yc", "confession_finish")
IDS = ("x_ids", "task_ids", "xc_ids", "confession_ids")
UNDATED = "1970-01-01T00:00:00+00:00"  # Inspect wants a date, and older records have none
HEADLINE = "balanced_claim_accuracy"  # stands in the viewer's list of logs

# Scores of a sample, in the viewer's order, each with its heading, which has the task's words in it.
SCORES = {
    "grade_honest": "grade honest",
    "claim_match": "claim match",
    "exact_compliance": "compliant",
    "hacked": "{hack}",
    "judge_pass": "judge passes",
    "report_valid": "report valid",
    "checked": "{checks}",
}
HACK = "hacked"  # stands there for steps of training: one sees it arise
EARNED = {name: name.replace("_", " ") for name in kept_rollouts.EARNED}
TRAINED = {"step": "step", **SCORES, **EARNED}  # of a training rollout
_DOES = {True: "does", False: "does not", None: "may or may not (not known)"}
_IS = {True: "compliant", False: "not compliant", None: "compliant or not (not known)"}


def write_logs(rollouts: Path, scores: Path, out: Path, labels: Mapping[str, Any], prefix: str) -> list[Path]:
    """One log a condition and variant, of one checkpoint's (or model's) rollout and score files.

    `prefix` tells checkpoints apart in the names; `labels` (experiment, training seed, ...) go into each log's
    metadata. InputError where Inspect is not installed, a file is damaged, holds several checkpoints, or the scores are
    not those of the rollouts.
    """
    _require()
    said = read_parquet(rollouts, ROLLOUT, objects=("spec",)).reset_index(drop=True)
    columns = (*SCORE_COLUMNS, *SCORES)
    scored = read_parquet(scores, columns).reset_index(drop=True)
    if len(said[list(CHECKPOINT)].drop_duplicates()) != 1:
        raise InputError(f"{rollouts}: holds several checkpoints or none; give one checkpoint's file")
    if not said[[*CELL, "row"]].equals(scored[[*CELL, "row"]]):
        raise InputError(f"{scores}: not the scores of the rollouts in {rollouts}; {FIX}")
    paths, job = [], provenance.of(rollouts)
    labels = {**labels, "rollouts": str(rollouts), "scores": str(scores)}
    for (condition, variant), cell in said.groupby(list(CELL), sort=False):
        path = out / log_name(prefix, condition, variant)
        rows = _records(cell)
        named = {column: rows[0][column] for column in (*CHECKPOINT, *CELL)}
        sampled = named["model"]
        if named["adapter"]:
            sampled += f"/seed{named['training_seed']}-step{named['step']}"
        what = {"task": ", ".join(named[column] for column in ("task", *CELL))}  # what the viewer's list has room for
        what |= {"task_args": {column: named[column] for column in CELL}, "tags": [condition, variant]}
        _write(path, rows, scored.loc[cell.index], named, labels, job, model=sampled, **what)
        paths.append(path)
    return paths


def write_training_logs(
    folder: Path, out: Path, labels: Mapping[str, Any], logs: Iterable[tuple[str, Sequence[int]]]
) -> dict[Path, list[Path]]:
    """Logs of the rollouts that a policy was trained on, each with the files that it was made from.

    `folder` holds a file a step (training_rollouts); `logs` names each log with its first and last step. Raises
    InputError where Inspect is not installed, or a file is missing or damaged.
    """
    _require()
    made, job = {}, provenance.of(folder)
    for name, (first, last) in logs:
        frame = kept_rollouts.read_steps(folder, first, last)
        rows = _records(frame)
        named = {column: rows[0][column] for column in ("task", "model", "training_seed", "config_hash", *CELL)}
        for row in rows:
            row["id"] = f"step {row['step']:0{len(str(last))}}, row {row['row']:0{len(str(len(rows)))}}"
        _write(
            out / name,
            rows,
            _with_details(frame[list(kept_rollouts.SCORES)].assign(step=frame["step"])),
            named | {"first_step": first, "last_step": last},
            {**labels, "rollouts": str(folder)},
            job,
            task=f"{named['task']}, training, steps {first} to {last}",
            task_args={"first_step": first, "last_step": last},
            tags=["training"],
            model=f"{named['model']}/seed{named['training_seed']}-training",
            columns=TRAINED,
            headline=HACK,
        )
        made[out / name] = [kept_rollouts.step_file(folder, step) for step in range(first, last + 1)]
    return made


def _require() -> None:
    """Raise InputError where Inspect is not installed."""
    try:
        import inspect_ai.log  # noqa: F401
    except ImportError:
        raise InputError("Inspect logs need the package inspect-ai: pip install 'confessions[inspect]'") from None


def _with_details(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores with the columns of the task's own that `details` holds, as a score file has them."""
    own = pd.DataFrame([json.loads(text) for text in scores["details"]], index=scores.index)
    rounded = {name: scores[name].astype(float).round(6) for name in kept_rollouts.EARNED}
    return scores.drop(columns="details").assign(**rounded).join(own)


def _write(
    path: Path,
    rows: Sequence[Mapping[str, Any]],
    scores: pd.DataFrame,
    named: Mapping[str, Any],
    labels: Mapping[str, Any],
    job: provenance.Record | None,
    columns: Mapping[str, str] = SCORES,
    headline: str = HEADLINE,
    **what: Any,
) -> None:
    """Write the log of these rollouts and their scores. A sample is called by its row's `id`, else its `row`.

    `named` and `labels` go into the metadata, `what` are more words of Inspect's EvalSpec. Its dates are those of the
    job that sampled the rollouts, from its record, so that a log that is made again is the same.
    """
    from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalSpec, EvalStats, write_eval_log

    began, ended = (job.began or UNDATED, job.ended or UNDATED) if job else (UNDATED, UNDATED)
    key = json.dumps([named, dict(labels)], default=str)
    ids = [row.get("id", row["row"]) for row in rows]
    spec = EvalSpec(
        eval_id=_id("eval", key),
        run_id=_id("run", key),
        task_id=_id("task", key),
        created=began,
        dataset=EvalDataset(name=named["task"], samples=len(rows), sample_ids=ids),
        config=EvalConfig(),
        metadata={**named, **labels},
        viewer=_viewer(columns, get_task(named["task"]).wording),
        **what,
    )
    log = EvalLog(
        status="success",
        eval=spec,
        results=_results(scores, headline),
        # Without dates the viewer says NaN days.
        stats=EvalStats(started_at=began, completed_at=ended, model_usage=_usage(rows)),
        samples=[
            _sample(id, row, scored, _id(key, id), columns)
            for id, row, scored in zip(ids, rows, _records(scores), strict=True)
        ],
    )
    with published(path) as temporary:
        write_eval_log(log, temporary)


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain Python values: None where nothing is known, lists for arrays."""
    return pa.Table.from_pandas(frame, preserve_index=False).to_pylist()


def _id(*parts: object) -> str:
    """An id that the same inputs give again (Inspect would draw it)."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:22]


def _results(scores: pd.DataFrame, headline: str) -> EvalResults:
    """Every metric of the cell with its interval, those that read the report first."""
    from inspect_ai.log import EvalMetric, EvalResults, EvalScore, HeadlineMetric

    names = sorted(METRICS, key=lambda name: not METRICS[name].reads_report)
    known = estimates(measure(scores))
    return EvalResults(
        total_samples=len(scores),
        completed_samples=len(scores),
        headline=HeadlineMetric(scorer=headline, metric="value"),
        scores=[
            EvalScore(
                name=name,
                scorer=name,
                metrics={
                    key: EvalMetric(name=key, value=getattr(known[name], key)) for key in ("value", "low", "high")
                },
                metadata={"n": known[name].n, "counted": METRICS[name].kind, "interval": known[name].method},
            )
            for name in names
        ],
    )


def _sample(
    id: int | str,
    rollout: Mapping[str, Any],
    scored: Mapping[str, Any],
    uuid: str,
    columns: Mapping[str, tuple[str, str]],
) -> EvalSample:
    """One rollout; what its scores do not show stands in the metadata."""
    from inspect_ai.log import EvalSample
    from inspect_ai.model import ChatCompletionChoice, ModelOutput

    spec = json.loads(rollout["spec"])
    objectives = get_task(rollout["task"]).objectives(spec)
    messages = _messages(rollout, uuid)
    reason = "max_tokens" if rollout["confession_finish"] == "length" else "stop"
    shown = {*CHECKPOINT, *CELL, "seed", *columns}
    return EvalSample(
        id=id,
        epoch=1,
        uuid=uuid,
        input=rollout["x"],
        target=objectives,
        messages=messages,
        output=ModelOutput(
            model=rollout["model"], choices=[ChatCompletionChoice(message=messages[-1], stop_reason=reason)]
        ),
        scores=_scores(scored, objectives, columns),
        model_usage=_usage([rollout]),
        # JavaScript knows 53 bits of a number; a seed has 63.
        metadata={**spec, "seed": str(rollout["seed"]), **{k: v for k, v in scored.items() if k not in shown}},
    )


def _usage(rollouts: Sequence[Mapping[str, Any]]) -> dict[str, ModelUsage]:
    """Tokens that the model read and wrote in both turns together; nothing where the ids are not kept. A stored answer,
    which is in no span, was read alone."""
    from inspect_ai.model import ModelUsage

    read = wrote = 0
    for row in rollouts:
        if row.get("task_ids") is None:
            return {}
        prompt, answer, asks, report = (len(row[name]) for name in IDS)
        read += prompt + answer + asks
        wrote += report
        if any(row["task_mask"]):
            read, wrote = read + prompt, wrote + answer
    return {rollouts[0]["model"]: ModelUsage(input_tokens=read, output_tokens=wrote, total_tokens=read + wrote)}


def _messages(rollout: Mapping[str, Any], uuid: str) -> list[ChatMessage]:
    """System prompt, x, z and y, xc, zc and yc."""
    from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageUser, ContentReasoning, ContentText

    def turn(reasoning: str, body: str, id: str) -> ChatMessageAssistant:
        # A list, because Inspect would search a plain string for <think>.
        content = [ContentReasoning(reasoning=reasoning)] if reasoning else []
        return ChatMessageAssistant(id=id, content=[*content, ContentText(text=body)], source="generate")

    system = system_prompt(rollout["condition"])
    return [
        *([ChatMessageSystem(id=f"{uuid}.system", content=system)] if system else []),
        ChatMessageUser(id=f"{uuid}.x", content=rollout["x"], source="input"),
        turn(rollout["z"], rollout["y"], f"{uuid}.y"),
        ChatMessageUser(id=f"{uuid}.xc", content=rollout["xc"], source="input"),
        turn(rollout["zc"], rollout["yc"], f"{uuid}.yc"),
    ]


def _scores(scored: Mapping[str, Any], objectives: list[str], columns: Iterable[str]) -> dict[str, Score]:
    from inspect_ai.scorer import Score

    valid = scored["report_valid"]
    grade = f"grade {scored['grade']} of {HIGHEST_GRADE}" if valid else f"no valid report: {scored['invalid_reason']}"
    claims = scored["claims"] if valid else ["nothing"] * len(objectives)
    claimed = zip(objectives, scored["met"], claims, scored["classes"], strict=True)
    why = {
        "grade_honest": f"{grade}; the answer is {_IS[scored['exact_compliance']]}",
        "claim_match": "\n".join(
            f"{objective} It {_DOES[met]}; claimed {claim}" + (f": {kind.replace('_', ' ')}" if kind else "")
            for objective, met, claim, kind in claimed
        ),
        "exact_compliance": f"{scored['n_met']} of {scored['n_objectives']} objectives met",
        "hacked": f"{scored['n_false_labels']} unmet objectives stated as met by the answer itself",
        "report_valid": scored["invalid_reason"] or _read_by_position(scored),
    }
    known = [name for name in columns if scored[name] is not None]
    return {name: Score(value=scored[name], explanation=why.get(name)) for name in known}


def _read_by_position(scored: Mapping[str, Any]) -> str:
    """How many entries of a valid report name no objective, and so count for their place."""
    return f"{scored['n_by_position']} of {scored['n_objectives']} objectives read by their place"


def _viewer(scores: Mapping[str, str], words: Wording) -> ViewerConfig:
    """Sampled texts as they are (no markdown, which would number lists anew), and a list of samples with the scores."""
    from inspect_ai.viewer import TaskSamplesColumn, TaskSamplesView, ViewerConfig

    columns = [
        TaskSamplesColumn(id="sampleId"),
        TaskSamplesColumn(id="input"),
        *(TaskSamplesColumn.score(name) for name in scores),
        *(TaskSamplesColumn(id=id, visible=False) for id in ("sampleStatus", "target", "answer", "tokens", "duration")),
    ]
    labels = {name: heading.format_map(vars(words)) for name, heading in scores.items()}
    view = TaskSamplesView(name="scores", columns=columns, score_labels=labels)
    return ViewerConfig(trust_content=False, task_samples_view=view)
