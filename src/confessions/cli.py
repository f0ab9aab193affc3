"""The command line. Every stage of the workflow is one command that takes its own block of the configuration as JSON.

Heavy libraries are imported inside the commands: `confessions --help` and bad input answer at once.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from confessions.errors import InputError, reported

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__.splitlines()[0])

Spec = Annotated[str, typer.Option(help="this stage's block of the configuration, as JSON (see specs.py)")]
ModelFolder = Annotated[Path, typer.Option(help="folder of the base model")]


def _read(spec: str) -> dict[str, Any]:
    try:
        block = json.loads(spec)
    except json.JSONDecodeError as error:
        raise InputError(f"--spec: not JSON ({error})") from None
    if not isinstance(block, dict):
        raise InputError("--spec: not a JSON object")
    return block


@app.command()
def build_model(spec: Spec, out: Annotated[Path, typer.Option(help="model folder to make")]) -> None:
    """Make a model folder: unpack the embedded model, or link to a folder on this machine."""
    with reported() as say:
        from confessions.sources import build

        build(_read(spec)["source"], out)
        say(f"model in {out}")


@app.command()
def train(
    spec: Spec,
    model: ModelFolder,
    work: Annotated[Path, typer.Option(help="working folder; a killed run goes on from it")],
    out: Annotated[Path, typer.Option(help="where the finished adapters and metrics go")],
) -> None:
    """Train a policy with dual-span GRPO and publish its adapters and metrics."""
    with reported() as say:
        from confessions import stages

        stages.train(_read(spec), model, work, out, say)


@app.command()
def rollout(
    spec: Spec,
    model: ModelFolder,
    adapter: Annotated[Path, typer.Option(help="PEFT folder of the checkpoint")],
    step: Annotated[int, typer.Option(help="training step of the checkpoint")],
    out: Annotated[Path, typer.Option(help="Parquet file of rollouts to write")],
) -> None:
    """Sample a checkpoint's evaluation rollouts."""
    with reported() as say:
        from confessions import stages

        stages.rollout(_read(spec), model, adapter, step, out, say)


@app.command()
def score_rollouts(
    spec: Spec,
    rollouts: Annotated[Path, typer.Option(help="Parquet file of rollouts")],
    out: Annotated[Path, typer.Option(help="Parquet file of scores to write")],
) -> None:
    """Score stored rollouts: ground truth, report, and the judge's verdict."""
    with reported() as say:
        from confessions import stages

        stages.score(_read(spec), rollouts, out, say)


if __name__ == "__main__":
    app()
