"""The static folder of an experiment: every link leads somewhere in it, and nothing else is overwritten."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from machine import needs_inspect
from made_site import TABLE, made_results

from confessions.analysis import catalogue
from confessions.config import Config
from confessions.pipeline import site
from confessions.runtime.errors import InputError

OUT = Path("results-site")
LINK = re.compile(r'(?:href|src)="([^"]*)"')


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.chdir(tmp_path)
    return made_results(tmp_path)


def build(config: Config, **more: Path) -> list[str]:
    """What the command says."""
    said: list[str] = []
    site.build(config, OUT, said.append, **more)
    return said


def report(name: str, experiment: str) -> None:
    Path(name).write_text(f'<html>{{"results/{experiment}/tables/power.csv": {{}}}}</html>')


def test_every_link_leads_to_a_file_beside_the_page(config):
    report("report.html", "demo")
    build(config)
    pages = {path: LINK.findall(path.read_text()) for path in OUT.rglob("*.html") if path.name != "report.html"}
    for page, links in pages.items():
        for link in links:
            assert not re.match(r"[a-z]+:|/", link), link
            assert (page.parent / unquote(link)).is_file(), (page, link)
    tables, figures = catalogue.of(config)
    wanted = {f"figures/{name}.png" for name in figures} | {"report.html"}
    wanted |= {f"tables/{name}.{suffix}" for name in tables for suffix in ("html", "csv")}
    assert wanted <= {*pages[OUT / "index.html"]}
    assert (OUT / "tables/power.csv").read_text() == TABLE
    assert "demonstrate the machinery" in (OUT / "index.html").read_text()


def test_the_rollouts_are_a_viewer_with_its_logs(config):
    needs_inspect()
    build(config)
    index = (OUT / "index.html").read_text()
    assert 'href="rollouts/index.html"' in index
    assert "python -m http.server" in index
    logs = {path.name: path.read_bytes() for path in Path("results/demo/logs").glob("*.eval")}
    assert {path.name: path.read_bytes() for path in (OUT / "rollouts/logs").glob("*.eval")} == logs
    assert logs
    assert str(Path.cwd()) not in (OUT / "rollouts/index.html").read_text()


def test_without_inspect_the_site_has_the_rest(config, monkeypatch):
    monkeypatch.setattr(site, "find_spec", lambda name: None)
    Path("results/demo/logs").mkdir(exist_ok=True)
    Path("results/demo/logs/a.eval").touch()
    assert build(config)[0].endswith("so the site has no rollouts: pip install 'confessions[inspect]'")
    assert not (OUT / "rollouts").exists()
    assert "rollouts/" not in (OUT / "index.html").read_text()


def test_a_site_is_replaced_and_nothing_else_is(config):
    build(config)
    (OUT / "tables/left_over.html").touch()
    build(config)
    assert not (OUT / "tables/left_over.html").exists()
    (OUT / "index.html").write_text("mine")
    with pytest.raises(InputError, match="results-site: holds something else than a site"):
        build(config)
    assert (OUT / "index.html").read_text() == "mine"


def test_what_is_not_made_yet_is_named(config):
    build(config)
    before = (OUT / "index.html").stat().st_mtime_ns
    Path("results/demo/figures/scale.png").unlink()
    with pytest.raises(InputError, match=r"^results/demo/figures/scale.png: not made yet: run snakemake --config exp"):
        build(config)
    assert (OUT / "index.html").stat().st_mtime_ns == before


def test_a_report_of_another_experiment_is_left_out_or_refused(config):
    report("report.html", "countdown")
    assert "report.html: no report of the experiment demo: left out" in build(config)
    assert not (OUT / "report.html").exists()
    with pytest.raises(InputError, match=r"no report of the experiment demo: snakemake --report report\.html"):
        build(config, report=Path("report.html"))
    with pytest.raises(InputError, match=r"other\.html: no such file"):
        build(config, report=Path("other.html"))


def test_tables_of_a_sweep_are_shown_where_it_was_run(config):
    swept = config.model_copy(update={"experiment": "seeding_smollm2"})
    Path("results/demo").rename("results/seeding_smollm2")
    for target in ("all", "seeding"):
        for name in catalogue.of(swept, target)[0]:
            Path(f"results/seeding_smollm2/tables/{name}.csv").write_text(TABLE)
    build(swept)
    assert (OUT / "tables/seeding.html").is_file()
    assert not (OUT / "figures/seeding.png").exists()
