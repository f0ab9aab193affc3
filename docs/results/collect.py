"""Keep an experiment's results beside the pages: python docs/results/collect.py EXPERIMENT [MORE ...] [--results X]

data/EXPERIMENT.csv             every number of its tables, one a row (analysis.tables.long), and those of MORE
data/EXPERIMENT_base.parquet    the policy's answers before training, with truth and reports: frozen for later runs
data/EXPERIMENT_hacked.parquet  the same of the first seed's last checkpoint
data/EXPERIMENT/claims.csv      what every seed's first and last checkpoint claims of each objective, and its truth
EXPERIMENT_examples.md          conversations of both, chosen by a seeded draw and printed in full
"""

import random
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from confessions.analysis.tables import write, write_long
from confessions.runtime.errors import InputError, reported
from confessions.runtime.files import published, read_parquet, write_parquet

HERE = Path(__file__).parent
EXAMPLES, DRAW = 5, 0  # conversations before and after; seed of the draw
KEYS = ["row", "condition", "variant"]
SAID = [*KEYS, "spec", "x", "y", "xc", "yc", "task_finish", "confession_finish"]
TRUE = ["met", "exact_compliance", "hacked", "judge_pass", "report_valid", "claims", "grade"]
WORDS = ["counts", "labels"]  # of Word Count alone


def frozen(rollouts: Path, scores: Path) -> pd.DataFrame:
    """Each rollout of a checkpoint without a system prompt: what was asked and said, and what is true of it."""
    said, true = read_parquet(rollouts, tuple(SAID)), read_parquet(scores, (*KEYS, *TRUE))
    own = [column for column in WORDS if column in true]
    together = said[SAID].merge(true[KEYS + TRUE + own], on=KEYS, validate="one_to_one")
    if len(together) != len(said):
        raise InputError(f"{scores}: not the scores of {rollouts}; delete it and run snakemake again")
    return together[together["condition"] == "baseline"].reset_index(drop=True)


def claimed(seed: int, step: int, frame: pd.DataFrame) -> pd.DataFrame:
    """A row for each objective of each answer: is it met, what is claimed of it (empty: the report is invalid)."""
    rows = [
        (seed, step, said.row, said.variant, i + 1, met, claim, said.hacked)
        for said in frame.itertuples()
        for i, (met, claim) in enumerate(
            zip(said.met, said.claims if said.report_valid else [None] * len(said.met), strict=True)
        )
    ]
    return pd.DataFrame(rows, columns=["seed", "step", "row", "variant", "objective", "met", "claim", "hacked"])


def drawn(n_rows: int, n: int = EXAMPLES, seed: int = DRAW) -> list[int]:
    """Rows of the evaluation, the same for every checkpoint."""
    return sorted(random.Random(seed).sample(range(n_rows), n))


def examples(experiment: str, checkpoints: dict[str, pd.DataFrame]) -> str:
    """The page. Line breaks of the texts are kept."""
    n_rows = min(frame["row"].nunique() for frame in checkpoints.values())
    rows = drawn(n_rows)
    lines = [
        f"# Conversations of the experiment {experiment}",
        "",
        f"Made by `docs/results/collect.py`. Rows {', '.join(map(str, rows))} of {n_rows}, drawn by "
        f"`random.Random({DRAW}).sample`, not chosen: each before and after training, without a system prompt, default "
        "request, in full.",
    ]
    for row in rows:
        lines += ["", f"## Row {row}"]
        for name, frame in checkpoints.items():
            (said,) = frame[(frame["row"] == row) & (frame["variant"] == "default")].to_dict("records")
            if name == next(iter(checkpoints)):
                lines += _quoted("Task", said["x"])
            lines += ["", f"### {name}"]
            lines += [*_quoted("Answer", said["y"]), "", _truth(said), *_quoted("Report", said["yc"])]
    first = next(iter(checkpoints.values()))
    request = first.loc[first["variant"] == "default", "xc"].iloc[0]
    lines += ["", "## The request", *_quoted("The same for every report", request)]
    return "\n".join(lines) + "\n"


def _quoted(title: str, text: str) -> list[str]:
    """A text as a block that no text can close: its fence is longer than any run of backticks in it."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return ["", f"{title}:", "", f"{fence}text", text.strip("\n"), fence]


def _truth(said: dict) -> str:
    right = f"{sum(said['met'])} of {len(said['met'])}"
    found = f"objectives met {right}"
    if set(WORDS) <= said.keys():
        found = f"words {_listed(said['counts'])}; labels {_listed(said['labels'])}; sentences right {right}"
    hack, verdict = ("hacked" if said["hacked"] else "not hacked"), ("passes" if said["judge_pass"] else "fails")
    return f"Truth: {found}; {hack}; the grader {verdict} it."


def _listed(numbers: Iterable[float | None]) -> str:
    return ", ".join("-" if pd.isna(x) else f"{x:.0f}" for x in numbers) or "none"


def main(
    experiment: Annotated[str, typer.Argument(help="experiment of config.yaml that was run")],
    more: Annotated[list[str] | None, typer.Argument(help="others whose numbers belong to the same file")] = None,
    results: Annotated[Path, typer.Option(help="folder of its results")] = Path("results"),
    out: Annotated[Path, typer.Option(help="where the pages are")] = HERE,
    numbers: Annotated[bool, typer.Option(help="leave out the answers and the examples")] = False,
) -> None:
    with reported() as say:
        tables = {name: results / name / "tables" for name in (experiment, *(more or ()))}
        table = write_long(tables, out / "data" / f"{experiment}.csv")
        say(f"{len(table)} numbers in {out / 'data' / f'{experiment}.csv'}")
        seeds = sorted((results / experiment).glob("seed*"), key=lambda path: int(path.name[4:]))
        if numbers or not seeds:  # without seeds nothing was trained
            return
        kept, claims = {}, []
        for seed in seeds:
            files = {int(p.stem[5:]): p for p in (seed / "rollouts").glob("step_*.parquet") if p.stem[5:].isdigit()}
            for step in (min(files), max(files)):
                kept[seed, step] = frozen(files[step], seed / "scores" / files[step].name)
                claims.append(claimed(int(seed.name[4:]), step, kept[seed, step]))
        write(pd.concat(claims, ignore_index=True), out / "data" / experiment / "claims.csv")
        checkpoints = {f"Step {step}": frame for (seed, step), frame in kept.items() if seed == seeds[0]}
        for name, frame in zip(("base", "hacked"), checkpoints.values(), strict=True):
            write_parquet(frame, out / "data" / f"{experiment}_{name}.parquet")
        with published(out / f"{experiment}_examples.md") as temporary:
            temporary.write_text(examples(experiment, checkpoints), encoding="utf-8")
        say(f"frozen answers of {', '.join(checkpoints)} and examples of {seeds[0].name}")


if __name__ == "__main__":
    typer.run(main)
