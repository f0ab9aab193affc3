"""An experiment's results as one static folder to look at or to publish: figures, tables, report, rollouts.

index.html and what it links to open from the disk, but for the rollouts: Inspect's viewer fetches its logs, which
browsers allow on pages of a server alone (python -m http.server).
"""

import json
import shutil
from collections.abc import Mapping
from contextlib import redirect_stdout
from html import escape
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

from confessions.analysis import catalogue, pages
from confessions.config import Config
from confessions.pipeline import paths
from confessions.runtime.errors import InputError, Say
from confessions.runtime.files import published_folder

MARK = "<!-- confessions site -->"  # of a folder that may be replaced
REPORTS = (Path("report.html"), Path("results/report.html"))
DEMONSTRATION = "Numbers of the embedded model demonstrate the machinery; they are not results about language models."
SERVED = "needs a server: <code>python -m http.server</code> in this folder, then open what it names"


def build(config: Config, out: Path, say: Say, report: Path | None = None) -> None:
    """Make the folder `out` of the active experiment's results, in place of the site that was there.

    `report` is a file of `snakemake --report`; without it one of REPORTS is taken where it is there. Raises InputError
    where a table or figure is not made yet, where `report` is missing or of another experiment, and where `out` holds
    anything but a site.
    """
    tables, figures = _made(config)
    if out.is_dir() and any(out.iterdir()) and not _is_site(out):
        raise InputError(f"{out}: holds something else than a site; name another folder: --out")
    report = _report(config, report, say)
    with published_folder(out) as folder:
        for name in ("tables", "figures"):
            (folder / name).mkdir(parents=True)
        for name in figures:
            shutil.copy(_file(config, "figures", f"{name}.png"), folder / "figures")
        for name, table in tables.items():
            file = shutil.copy(_file(config, "tables", f"{name}.csv"), folder / "tables")
            (folder / f"tables/{name}.html").write_text(pages.table(Path(file), table.title), encoding="utf-8")
        if report:
            shutil.copy(report, folder / "report.html")
        viewer = _bundle(Path(paths.log_folder(config)), folder / "rollouts", say)
        index = _index(config, tables, figures, report is not None, viewer)
        (folder / "index.html").write_text(index, encoding="utf-8")
    say(f"{len(figures)} figures and {len(tables)} tables: open {out / 'index.html'}")


def _file(config: Config, kind: str, name: str) -> Path:
    return Path(paths.results_folder(config), kind, name)


def _made(config: Config) -> tuple[dict[str, catalogue.Entry], dict[str, catalogue.Entry]]:
    """Tables and figures: all that the experiment has, and those of its sweep where that was run."""
    found = []
    for kind, suffix, every, swept in zip(
        ("tables", "figures"), ("csv", "png"), catalogue.of(config), catalogue.of(config, "seeding"), strict=True
    ):
        for name in every:
            if not (file := _file(config, kind, f"{name}.{suffix}")).is_file():
                raise InputError(f"{file}: not made yet: run snakemake --config experiment={config.experiment}")
        ran = {name: entry for name, entry in swept.items() if _file(config, kind, f"{name}.{suffix}").is_file()}
        found.append(every | ran)
    return found[0], found[1]


def _is_site(folder: Path) -> bool:
    index = folder / "index.html"
    return index.is_file() and MARK in index.read_text(encoding="utf-8", errors="replace")


def _report(config: Config, report: Path | None, say: Say) -> Path | None:
    """The report to show, if any; one that was found and not named may be of another experiment, and is left out."""
    if report and not report.is_file():
        raise InputError(f"{report}: no such file: snakemake --report {report}")
    for file in [report] if report else filter(Path.is_file, REPORTS):
        if f'"{paths.results_folder(config)}/tables/' in file.read_text(encoding="utf-8", errors="replace"):
            return file
        said = f"{file}: no report of the experiment {config.experiment}"
        if report:
            raise InputError(f"{said}: snakemake --report {report}")
        say(f"{said}: left out")
    return None


def _bundle(logs: Path, out: Path, say: Say) -> bool:
    """Inspect's viewer with the logs, where there are some and Inspect is installed."""
    if not any(logs.glob("*.eval")):
        say(f"{logs}: no logs, so the site has no rollouts")
        return False
    if find_spec("inspect_ai") is None:
        say("inspect-ai is not installed, so the site has no rollouts: pip install 'confessions[inspect]'")
        return False
    from inspect_ai.log import bundle_log_dir

    with redirect_stdout(StringIO()):  # it would name the folder that is being made
        bundle_log_dir(str(logs), str(out))
    index = out / "index.html"  # it says where on this machine the logs were
    index.write_text(index.read_text(encoding="utf-8").replace(json.dumps(str(logs.absolute())), '"logs"'), "utf-8")
    return True


def _index(
    config: Config,
    tables: Mapping[str, catalogue.Entry],
    figures: Mapping[str, catalogue.Entry],
    report: bool,
    viewer: bool,
) -> str:
    """The first page; it links to what lies beside it."""
    experiment = config.active
    models = [config.models[key] for key in dict.fromkeys([*filter(None, [experiment.policy]), *experiment.compared])]
    embedded = any(config.origin(key).source.kind == "nano" for key in (experiment.policy, *experiment.compared) if key)
    about = f"Task {experiment.task}; models: {', '.join(model.label for model in models)}."
    shown = [
        f'<h3 id="{name}">{escape(figure.title)}</h3>\n<a href="figures/{name}.png">'
        f'<img src="figures/{name}.png" alt="{escape(figure.title)}" style="max-width: 100%"></a>'
        for name, figure in figures.items()
    ]
    listed = [
        f'<li><a href="tables/{name}.html">{escape(table.title)}</a> (<a href="tables/{name}.csv">CSV</a>)</li>'
        for name, table in tables.items()
    ]
    more = ['<li><a href="report.html">Snakemake\'s report</a>: captions, rules, run times</li>'] if report else []
    more += [f'<li><a href="rollouts/index.html">Every rollout</a>, in Inspect\'s viewer, which {SERVED}</li>'] * viewer
    body = [MARK, f"<p>{escape(about)}{' ' + DEMONSTRATION if embedded else ''}</p>"]
    body += ["<h2>Tables</h2>\n<ul>", *listed, "</ul>"]
    body += ["<h2>More</h2>\n<ul>", *more, "</ul>"] if more else []
    body += ["<h2>Figures</h2>", *shown]
    return pages.page(f"Confessions: experiment {config.experiment}", "\n".join(body))
