"""The command line. Every stage of the workflow is one command that takes its own block of the configuration as JSON.

Heavy libraries are imported inside the commands, after the spec was read: `confessions --help` and bad input answer at
once.
"""

import os
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated

import typer

from confessions.runtime.errors import InputError, reported
from confessions.runtime.threads import bound_spinning

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__.splitlines()[0])

Spec = Annotated[str, typer.Option(help="this stage's block of the configuration, as JSON (see pipeline/blocks.py)")]
ModelFolder = Annotated[Path, typer.Option(help="folder of the base model")]


@app.callback()
def environment(context: typer.Context) -> None:
    """What libraries read from the environment when they are imported, inside the commands.

    Models come from a hub in build-model and nowhere else: a compute node may have no network.
    """
    bound_spinning()
    if context.invoked_subcommand != "build-model":
        os.environ["HF_HUB_OFFLINE"] = "1"


def _run(stage: str, block: str, spec: str, *given: object, **more: object) -> None:
    """Run a stage on its block, which is read before the stage, and what it needs, is imported."""
    with reported(extra="inspect" if stage == "logs" else "train") as say:
        parsed = resolve_name(f"confessions.pipeline.blocks:{block}").parse(spec)
        resolve_name(f"confessions.pipeline.stages.{stage}:run")(parsed, *given, say, **more)


@app.command()
def build_model(spec: Spec, out: Annotated[Path, typer.Option(help="model folder to make")]) -> None:
    """Make a model folder: unpack the embedded model, link to a folder, download from the hub, or convert GGUF."""
    _run("build", "ModelSpec", spec, out)


@app.command()
def calibrate(spec: Spec, model: ModelFolder, out: Annotated[Path, typer.Option(help="folder to write to")]) -> None:
    """Measure how often a model meets each kind of requirement of the task instructions (docs/instructions.md)."""
    _run("calibrate", "CalibrationSpec", spec, model, out)


@app.command()
def post_train(
    spec: Spec,
    model: ModelFolder,
    out: Annotated[Path, typer.Option(help="model folder to make")],
) -> None:
    """Train a model further on a task's ground truth (sft, dpo or rl): a stage of the ladder."""
    _run("post_train", "PostTrainSpec", spec, model, out)


@app.command()
def train(
    spec: Spec,
    model: ModelFolder,
    work: Annotated[Path, typer.Option(help="working folder; a killed run resumes from it")],
    out: Annotated[Path, typer.Option(help="where the finished checkpoints and metrics go")],
) -> None:
    """Train a policy with dual-span GRPO and publish its checkpoints and metrics."""
    with reported(extra="train") as say:
        from confessions.pipeline.blocks import TrainSpec
        from confessions.runtime import processes
        from confessions.runtime.locks import alone

        block = TrainSpec.parse(spec)
        if (n := block.train.processes) > 1 and not processes.started_together():
            folders = (f"--{name}={path}" for name, path in (("model", model), ("work", work), ("out", out)))
            processes.launch(n, ["train", f"--spec={spec}", *folders])
            return
        from confessions.pipeline.stages import train

        with alone(work, say):
            train.run(block, model, work, out, say)


@app.command()
def rollout(
    spec: Spec,
    model: ModelFolder,
    work: Annotated[Path, typer.Option(help="working folder; a killed run resumes from it")],
    files: Annotated[list[str] | None, typer.Argument(help="files of --spec to make; all of them without")] = None,
) -> None:
    """Sample rollouts of a base model: one engine start for all its checkpoints, conditions and variants."""
    _run("rollout", "RolloutSpec", spec, model, work, only=files or ())


@app.command()
def run(
    names: Annotated[list[str], typer.Argument(help="experiment:seed, such as instructions_evidence:0")],
    configfile: Annotated[list[Path] | None, typer.Option(help="laid over config.yaml; may be given again")] = None,
) -> None:
    """Train policies and sample their rollouts without Snakemake, in one process with one start of vLLM."""
    with reported(extra="train") as say:
        from confessions.config import load

        config = load("config.yaml", *(configfile or ()))
        from confessions.pipeline import one_process

        one_process.run(config, names, say)


@app.command()
def score_rollouts(
    spec: Spec,
    rollouts: Annotated[list[Path], typer.Option(help="Parquet file of rollouts; may be given several times")],
    out: Annotated[list[Path], typer.Option(help="Parquet file of scores to write, one for each of these")],
    model: Annotated[Path | None, typer.Option(help="folder of the model that wrote them: for its tokenizer")] = None,
) -> None:
    """Score stored rollouts: ground truth, report, and the judge's verdict."""
    _run("score", "ScoreSpec", spec, rollouts, out, model=model)


@app.command()
def judge_check(spec: Spec, out: Annotated[Path, typer.Option(help="Parquet file of judged answers to write")]) -> None:
    """Measure the weak judge on a fixed set of answers made by code, half of them with one known fault."""
    _run("judge_check", "ScoreSpec", spec, out)


@app.command()
def write_logs(spec: Spec, out: Annotated[Path, typer.Option(help="folder of the logs")]) -> None:
    """Write rollouts and scores as Inspect logs, one a cell, for `inspect view`."""
    _run("logs", "LogsSpec", spec, out)


@app.command()
def score(
    file: Annotated[Path, typer.Argument(help="transcripts, one JSON object a line (docs/transcripts.md); - is stdin")],
    out: Annotated[Path | None, typer.Option(help="CSV file to write; stdout without it")] = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="print every metric, by condition and variant, in place of the rows")
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="draw them as the stress grid: a PNG, SVG or PDF file")] = None,
) -> None:
    """Score transcripts of any model: one CSV row a line. Status 1 when a line is bad; the others are scored."""
    with reported() as say:
        from confessions.scoring.transcripts import score_file

        if plot:
            from confessions.analysis.summary import check_figure

            check_figure(plot)
            if out and out.absolute() == plot.absolute():
                raise InputError(f"{out}: --out and --plot would be one file; give them two names")
        kept: list[dict] | None = [] if summary or plot else None
        whole = score_file(file, out, say, None if kept is None else kept.append)
        if kept:
            from confessions.analysis.summary import draw, in_words, table

            grid = table(kept, file.stem)
            if summary:
                typer.echo(in_words(grid))
            if plot:
                draw(grid, plot)
                say(f"figure in {plot}")
        if not whole:
            raise typer.Exit(1)


@app.command()
def prompts(
    task: Annotated[str, typer.Option(help="folder of src/confessions/tasks, or the path of one")],
    condition: Annotated[str, typer.Option(help="system prompt: a name in prompts/conditions, or a path")] = "baseline",
    variant: Annotated[
        str, typer.Option(help="wording of the request: a name in prompts/variants, or a path")
    ] = "default",
) -> None:
    """Print the held-out prompts and requests of a task, for any client: a JSON object a line."""
    import json

    with reported():
        from confessions.tasks import get
        from confessions.tasks.base import opening

        chosen = get(task)
        for number, spec in enumerate(chosen.specs("evaluation")):
            named = {"id": number, "task": task, "spec": spec, "variant": variant, "condition": condition}
            asked = {"messages": opening(chosen, spec, condition), "request": chosen.request(spec, variant)}
            typer.echo(json.dumps(named | asked, ensure_ascii=False))


@app.command()
def sandbox_check() -> None:
    """Check that this machine can shut away the programs that a model writes (docs/sandbox.md)."""
    with reported() as say:
        from confessions.sandbox import Sandbox

        Sandbox()
        say("programs are run in isolation here")


@app.command()
def problems(file: Annotated[Path, typer.Argument(help="JSONL file of programming problems")]) -> None:
    """Check a file of programming problems (docs/problems.md): how many it has, and which lines are left out."""
    with reported() as say:
        from confessions.tasks.programming.problems import archive

        found = archive.kept(file)
        split = " and ".join(f"{len(archive.of_split(file, name))} for {name}" for name in ("train", "evaluation"))
        left_out = ", ".join(f"{n} ({reason})" for reason, n in sorted(found.left_out.items())) or "none"
        say(f"{file}: {len(found.problems)} problems, {split}; lines left out: {left_out}")


@app.command()
def compare(
    experiment: Annotated[str, typer.Argument(help="one that trains, with scores in results")],
    other: Annotated[str, typer.Argument(help="another, with the same seeds and evaluation")],
    out: Annotated[Path, typer.Option(help="CSV file to write")],
) -> None:
    """Write every metric of two experiments' checkpoints and their differences, paired by row, seed by seed."""
    with reported(extra="workflow") as say:
        from itertools import product

        from confessions.analysis.tables.base import write
        from confessions.analysis.tables.paired import paired
        from confessions.config import load
        from confessions.pipeline import paths
        from confessions.pipeline.subjects import run_labels

        config = load("config.yaml")
        both = [load(config.model_dump() | {"experiment": name}) for name in (experiment, other)]
        for one in both:
            if one.active.train is None:
                raise InputError(f"{one.experiment}: trains nothing: there are no checkpoints to compare")
        files = [
            {key: paths.score_file(one, *key) for key in product(one.active.seeds, one.active.train.save_steps)}
            for one in both
        ]
        table = paired(*files, run_labels(both[0]))
        write(table, out)
        say(f"{len(table)} rows in {out}")


@app.command()
def diff(
    first: Annotated[Path, typer.Argument(help="file of rollouts, such as results/demo/seed0/rollouts/step_0.parquet")],
    second: Annotated[Path, typer.Argument(help="another, of the same evaluation")],
    row: Annotated[int, typer.Option(help="which prompt, from 0")],
    condition: Annotated[str, typer.Option(help="system prompt")] = "baseline",
    variant: Annotated[str, typer.Option(help="wording of the request")] = "default",
) -> None:
    """Print one prompt's answers and confessions in two files of rollouts side by side, with truth and claims."""
    import shutil

    with reported():
        from confessions.analysis.side_by_side import side_by_side

        width = shutil.get_terminal_size((160, 0)).columns
        typer.echo(side_by_side((first, second), row, condition, variant, width))


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="folder of results")] = Path("results"),
    config: Annotated[
        list[Path] | None,
        typer.Option(help="compare settings with these, laid over one another; default: config.yaml beside results"),
    ] = None,
) -> None:
    """Say which results are altered, stale, missing or unrecorded (docs/provenance.md). Status 1 when any is."""
    with reported() as say:
        from confessions.config import load
        from confessions.pipeline.verify import root
        from confessions.pipeline.verify import verify as hold

        # Beside the results of a clone, or of a deployed copy.
        beside = (root(folder) / name for name in ("config.yaml", "config/config.yaml"))
        files = config or [path for path in beside if path.is_file()][:1]
        verdict = hold(folder, load(*files) if files else None)
        for finding in verdict.findings:
            typer.echo(str(finding))
        say(verdict.summary() + ("" if files else "; settings not compared: no config.yaml here"))
        if verdict.findings:
            raise typer.Exit(1)


@app.command()
def site(
    out: Annotated[Path, typer.Option(help="folder to make; a site that is there is replaced")] = Path("results-site"),
    experiment: Annotated[str | None, typer.Option(help="default: the one that the configuration names")] = None,
    config: Annotated[Path, typer.Option(help="configuration")] = Path("config.yaml"),
    report: Annotated[Path | None, typer.Option(help="of snakemake --report; default: report.html, if any")] = None,
) -> None:
    """Make one static folder of an experiment's figures, tables, report and rollouts."""
    with reported() as say:
        from confessions.config import load
        from confessions.pipeline.site import build

        chosen = load(config)
        if experiment is not None:
            chosen = load(chosen.model_dump() | {"experiment": experiment})
        build(chosen, out, say, report)


@app.command()
def schema() -> None:
    """Print the JSON schema of config.yaml, for editors (config/README.md)."""
    import json

    from confessions.config.schema import schema

    typer.echo(json.dumps(schema(), indent=1))


@app.command()
def plan(
    experiment: Annotated[str | None, typer.Option(help="default: the one that the configuration names")] = None,
    config: Annotated[Path, typer.Option(help="configuration")] = Path("config.yaml"),
    device: Annotated[str, typer.Option(help="GPU: H200, H100 or A100")] = "H200",
    engine: Annotated[str | None, typer.Option(help="whose measured rates count; default: each job's engine")] = None,
    fill: Annotated[float, typer.Option(min=0.01, max=1, help="length of turns as a share of their limits")] = 1.0,
    table: Annotated[bool, typer.Option("--table", help="a row for each experiment, as in docs/costs.md")] = False,
) -> None:
    """Print jobs, tokens, GPU hours and disk of an experiment, with the arithmetic, before anything is submitted."""
    with reported():
        from confessions.config import load
        from confessions.pipeline.plan import text
        from confessions.pipeline.plan.plan import Plan

        chosen = load(config)
        if experiment is not None:
            chosen = load(chosen.model_dump() | {"experiment": experiment})
        if table:
            typer.echo(text.table(chosen, device, engine, fill))
        else:
            typer.echo(text.render(Plan(chosen, device, engine, fill)))


if __name__ == "__main__":
    app()
