"""What a reader sees: Snakemake's report, a site and Inspect's viewer, in a headless Chromium that needs no network.

Screenshots go to the folder that the variable SCREENSHOTS names, else to pytest's temporary folder.
"""

import base64
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from machine import needs_inspect
from made_rollouts import ANSWER, COUNT, PLAN, rollout_frame, write_files
from made_site import made_results
from made_tables import made_stress_grid

from confessions.analysis import catalogue
from confessions.analysis.figures import plot_stress_grid
from confessions.pipeline.inspect_logs import write_logs
from confessions.pipeline.site import build
from confessions.prompts import system_prompt

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install -e '.[dev]'")
from selenium.common.exceptions import TimeoutException, WebDriverException  # noqa: E402
from selenium.webdriver.support.wait import WebDriverWait  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="Chromium is not installed: apt-get install chromium chromium-driver"
    ),
]

REPORT = Path(__file__).parent.parent / "workflow/report"
FIGURES, TABLES = (sorted(path.stem for path in (REPORT / kind).glob("*.rst")) for kind in ("figures", "tables"))
FIGURE, TABLE = catalogue.FIGURES["stress_grid"].title, catalogue.TABLES["power"].title
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-dev-shm-usage", "--no-proxy-server"),  # containers have 64 MB there; the pages are this machine's
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1500,1500"),
)
SECONDS = 180  # to wait for a page on a busy machine


def squeezed(text: str) -> str:
    """In lower case (style sheets change the case) and with single spaces."""
    return " ".join(text.lower().split())


class Page:
    """One window, and what is visible in it."""

    def __init__(self, profile: Path, screenshots: Path):
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        self.driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
        self.screenshots = screenshots

    @property
    def text(self) -> str:
        """The visible text."""
        return squeezed(self.driver.execute_script("return document.body.innerText"))

    def wait(self, condition: Callable[[], object], what: str) -> None:
        try:
            WebDriverWait(self.driver, SECONDS, ignored_exceptions=[WebDriverException]).until(lambda _: condition())
        except TimeoutException:
            self.save("failed")
            pytest.fail(f"{what} is not there; the page says: {self.text}")

    def shows(self, *texts: str) -> None:
        for text in texts:
            self.wait(lambda text=text: squeezed(text) in self.text, repr(text))

    def click(self, xpath: str) -> None:
        self.wait(lambda: self.driver.find_element("xpath", xpath).click() or True, xpath)

    def save(self, name: str) -> None:
        self.driver.save_screenshot(str(self.screenshots / f"{name}.png"))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("browser")
    screenshots = Path(os.environ.get("SCREENSHOTS", folder / "screenshots"))
    screenshots.mkdir(parents=True, exist_ok=True)
    opened = Page(folder / "profile", screenshots)
    yield opened
    opened.driver.quit()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Snakemake's report on a workflow of one rule, with every caption: one figure and one table stand for all."""
    folder = tmp_path_factory.mktemp("report")
    shutil.copy(REPORT.parents[1] / "config.yaml", folder)
    made_stress_grid(folder / "made.csv")
    plot_stress_grid(folder / "made.csv", folder / "made.png")
    outputs = [
        f'report("{name}.{suffix}", caption="{REPORT}/{kind}/{name}.rst", category="{kind.title()}",'
        f' labels={{"{kind[:-1]}": "The {kind[:-1]} {name}"}})'
        for kind, names, suffix in (("figures", FIGURES, "png"), ("tables", TABLES, "csv"))
        for name in names
    ]
    (folder / "Snakefile").write_text(
        f'configfile: "config.yaml"\nreport: "{REPORT}/workflow.rst"\n'
        f"rule draw:\n    output: {', '.join(outputs)}\n"
        '    shell: "for f in {output}; do cp made.${{f##*.}} $f; done"\n'
    )
    for options in (["--cores", "1"], ["--report", "report.html"]):
        command = [sys.executable, "-m", "snakemake", *options]
        run = subprocess.run(command, cwd=folder, check=False, text=True, capture_output=True)
        assert run.returncode == 0, run.stderr
    return folder / "report.html"


def test_the_report_says_what_was_done(page: Page, report: Path) -> None:
    page.driver.get(report.as_uri())
    page.shows("Confessions: experiment demo", "with 64 rollouts each", "a demonstration of the machinery")
    page.save("report_start")


def test_the_report_shows_figures_and_their_captions(page: Page, report: Path) -> None:
    page.driver.get(report.as_uri())
    page.click("//a[normalize-space()='Figures']")
    page.shows(*(f"The figure {name}" for name in FIGURES))
    row = "//tr[td[normalize-space()='The figure stress_grid']]"
    page.click(f"({row}//a)[1]")
    drawn = "return [...document.images].some(i => i.src.startsWith('data:image/png') && i.naturalWidth > 1000)"
    page.wait(lambda: page.driver.execute_script(drawn), "the figure")
    page.click(f"({row}//a)[2]")
    page.shows("Honest grades under pressure, experiment demo", "How many of the 64 rollouts a cell failed")
    page.save("report_figure")


def test_the_report_hands_out_tables(page: Page, report: Path) -> None:
    page.driver.get(report.as_uri())
    page.click("//a[normalize-space()='Tables']")
    page.shows(*(f"The table {name}" for name in TABLES))
    link = page.driver.find_element("xpath", "//a[@download='stress_grid.csv']")
    assert base64.b64decode(link.get_attribute("href").partition("base64,")[2]) == (
        report.with_name("stress_grid.csv").read_bytes()
    )
    page.click("(//tr[td[normalize-space()='The table power']]//a)[2]")
    page.shows("What the evaluation can see: with 80 % power")
    page.save("report_table")


def test_every_caption_is_whole(page: Page, report: Path) -> None:
    """No markup error, no setting left out, and the demonstration is called one."""
    page.driver.get(report.as_uri())
    captions = page.driver.execute_script("return Object.values(results).map(r => [r.name, r.caption])")
    assert len(captions) == len(FIGURES) + len(TABLES)
    for name, caption in captions:
        assert "system-message" not in caption, name
        assert "{" not in caption, name
        assert "embedded model" in squeezed(caption), name
        assert "95 % interval" in squeezed(caption) or name == "power.csv", name


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first page of an experiment's site."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder := tmp_path_factory.mktemp("site"))
        build(made_results(folder), Path("results-site"), print)
    return folder / "results-site/index.html"


def test_the_site_opens_from_the_disk(page: Page, site: Path) -> None:
    page.driver.get(site.as_uri())
    page.shows("Confessions: experiment demo", FIGURE, TABLE, "demonstrate the machinery")
    loaded = "return [...document.images].every(i => i.complete && i.naturalWidth > 1000)"
    page.wait(lambda: page.driver.execute_script(loaded), "every figure")
    page.save("site")
    page.click(f"//a[normalize-space()='{TABLE}']")
    page.shows("nano", "0.25", "other")
    page.driver.find_element("xpath", "//input").send_keys("NAN")
    page.wait(lambda: "other" not in page.text and "nano" in page.text, "one row")
    page.save("site_table")


@pytest.fixture(scope="module")
def viewer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of Inspect's viewer on a folder of two logs, and the folder."""
    needs_inspect()
    folder = tmp_path_factory.mktemp("viewer")
    logs = folder / "logs"
    write_logs(*write_files(folder, rollout_frame()), logs, {"experiment": "demo"}, "demo-step20")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "inspect_ai", "view", "start", "--log-dir", str(logs), "--port", str(port)]
    environment = os.environ | {"XDG_DATA_HOME": str(folder / "data")}
    with (folder / "server.log").open("w") as said:
        server = subprocess.Popen(command, env=environment, cwd=folder, stdout=said, stderr=subprocess.STDOUT)
    until = time.monotonic() + SECONDS
    while not listens(port):
        assert server.poll() is None, (folder / "server.log").read_text()
        assert time.monotonic() < until, "Inspect's viewer does not start"
        time.sleep(0.2)
    yield f"http://127.0.0.1:{port}/", logs
    server.terminate()
    server.wait()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_viewer_lists_the_logs(page: Page, viewer: tuple[str, Path]) -> None:
    address, _ = viewer
    page.driver.get(address)
    page.shows("word_count, baseline, default", "word_count, soft, forced_count", "nano/seed3-step20")
    page.save("inspect_logs")


def test_the_viewer_shows_scores_and_reasoning(page: Page, viewer: tuple[str, Path]) -> None:
    address, logs = viewer
    before = {path: path.read_bytes() for path in logs.rglob("*.eval")}
    log = f"{address}#/logs/demo-step20-soft-forced_count.eval"
    page.driver.get(log)
    page.shows("grade honest", "claim match", "bracket hack", "counts the words first", "balanced_cl", "0.6")
    page.save("inspect_samples")
    page.driver.get(f"{log}/samples/sample/0/1/messages")
    page.shows(system_prompt("soft"), "Reasoning", PLAN, ANSWER, COUNT, "overall_grade: 2")  # JSON is a tree
    page.save("inspect_messages")
    page.driver.get(f"{log}/samples/sample/1/1/scoring")
    page.shows("grade 7 of 7; the answer is not compliant", "It does not; claimed Full: over claim")
    page.save("inspect_scores")
    assert {path: path.read_bytes() for path in logs.rglob("*.eval")} == before
