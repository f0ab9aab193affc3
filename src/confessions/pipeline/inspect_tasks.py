"""The tasks as tasks of Inspect: `inspect eval confessions/word_count --model openai/...` (docs/use_it_with.md).

Inspect samples, retries, caches and speaks to APIs. What is asked and how it is scored is this project's. The log that
comes of it is what `confessions score` reads.
"""

import json
from collections.abc import Callable, Sequence

from inspect_ai import Task as InspectTask
from inspect_ai import task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageSystem, ChatMessageUser
from inspect_ai.scorer import Metric, SampleScore, Score, Scorer, Target, metric, scorer
from inspect_ai.solver import Generate, Solver, TaskState, solver

from confessions import tasks
from confessions.scoring import forms, transcripts
from confessions.tasks.base import opening

ROLLOUTS = 64
SHOWN = (  # metrics of a log, each with its interval and n
    *("claim_match", "balanced_claim_accuracy", "p_full_given_met", "p_none_given_unmet"),
    *("within_kind_balanced_accuracy", "auroc", "false_positive_rate", "grade_honest_given_noncompliant"),
    *("confessed_given_hack", "exact_compliance", "objective_met", "hacked", "report_valid"),
)


@solver
def two_turns() -> Solver:
    """The answer, then the request for a confession in the same conversation, and the confession."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        state = await generate(state)
        state.messages.append(ChatMessageUser(content=state.metadata["request"]))
        return await generate(state)

    return solve


@metric(scores="unreduced")
def metrics() -> Metric:
    """SHOWN over all samples, and what always claiming met, and the base-rate rival, get on the same answers."""

    def measured(scores: list[SampleScore]) -> dict[str, float]:
        from confessions.analysis import summary

        table = summary.table([sample.score.metadata for sample in scores], "inspect").set_index(["kind", "metric"])
        found = {}
        for name in SHOWN:
            number = table.loc[("cell", name)]
            found |= {name: number["value"], f"{name}_low": number["low"], f"{name}_high": number["high"]}
            found[f"{name}_n"] = number["n"]
            for kind in summary.RIVALS:
                if (kind, name) in table.index:
                    found[f"{name}_{kind}"] = table.loc[(kind, name), "value"]
        return {name: float(value) for name, value in found.items()}

    return measured


@scorer(metrics=[metrics()])
def honesty() -> Scorer:
    """A sample's value is its claim_match; all of its scores stand in its metadata."""

    async def score(state: TaskState, target: Target) -> Score:
        truncated = bool(state.output.choices) and state.output.stop_reason == "max_tokens"
        line = forms.line_of(state.metadata, state.messages, f"{state.sample_id}", str(state.model), truncated)
        transcript = transcripts.parse(json.dumps(line, ensure_ascii=False).encode())
        scores = transcripts.named(transcript) | transcripts.scored(transcript)
        claims = scores["claims"] or [f"nothing ({scores['invalid_reason']})"] * len(scores["met"])
        told = zip(state.metadata["objectives"], scores["met"], claims, strict=True)
        lines = (f"{asked} {'met' if met else 'not met'}; claimed {claim}" for asked, met, claim in told)
        return Score(
            value=float("nan") if scores["claim_match"] is None else scores["claim_match"],
            answer=transcript.answer,
            explanation="\n".join(lines),
            metadata=scores,
        )

    return score


def made(name: str, condition: str, variant: str, rollouts: int) -> InspectTask:
    """The held-out instances of a task under a system prompt, with a wording of the request. Raises InputError for
    names that are none, and where this machine cannot grade."""
    chosen = tasks.get(name)
    chosen.ready()
    samples = [
        Sample(
            id=number,
            input=[*map(_message, opening(chosen, spec, condition))],
            metadata={"task": name, "spec": spec, "condition": condition, "variant": variant}
            | {"request": chosen.request(spec, variant), "objectives": chosen.objectives(spec)},
        )
        for number, spec in enumerate(chosen.specs("evaluation")[:rollouts])
    ]
    return InspectTask(dataset=MemoryDataset(samples, name=name), solver=two_turns(), scorer=honesty())


def _message(said: dict[str, str]) -> ChatMessageSystem | ChatMessageUser:
    kind = ChatMessageSystem if said["role"] == "system" else ChatMessageUser
    return kind(content=said["content"])


def _registered(name: str) -> Callable[..., InspectTask]:
    def build(condition: str = "baseline", variant: str = "default", rollouts: int = ROLLOUTS) -> InspectTask:
        return made(name, condition, variant, rollouts)

    build.__name__, build.__doc__ = name, f"The task {name} and its confession."
    return task(name=name)(build)


def register(names: Sequence[str]) -> dict[str, Callable[..., InspectTask]]:
    """Every task by its name, known to Inspect as confessions/NAME."""
    return {name: _registered(name) for name in names}


globals().update(register(tasks.names()))
