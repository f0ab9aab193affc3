"""What the pages name is there: paths of the tree, modules, links to other pages and to their sections.

The manual (docs/) and the log of dated runs (docs/results/) are apart.
"""

import re
from pathlib import Path
from pkgutil import resolve_name

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [
        ROOT / "config.yaml",
        *ROOT.glob("*.md"),
        *ROOT.glob("config/*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("docs/**/*.j2"),
    ]
)
MANUAL = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])
FOLDERS = ("benchmarks", "config", "docs", "envs", "profiles", "slurm", "src", "tests", "workflow")
PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./<>*-]*\w")
MODULE = re.compile(r"(?<![\w.])confessions(?!\.(?:def|sif))(?:\.[A-Za-z_]\w*)+")
FILE = re.compile(r"`([\w./]+\.(?:py|smk|sh))(?: [^`]*)?`")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
SECTION = re.compile(r"\]\(([^):\s]*)#([^)]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.M)
DATED = re.compile(r"\b20\d\d-\d\d-\d\d\b|\b\d{1,2} [A-Z][a-z]+ 20\d\d\b")
OURS = [path.relative_to(ROOT).as_posix() for folder in FOLDERS for path in (ROOT / folder).rglob("*")]


def exists(path: str) -> bool:
    """<name> stands for any name."""
    return any(ROOT.glob(re.sub(r"<\w+>", "*", path)))


def resolves(name: str) -> bool:
    """A module, or what one has."""
    try:
        resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_names_is_there(page):
    text = page.read_text(encoding="utf-8")
    missing = [path for path in PATH.findall(text) if not exists(path)]
    missing += [file for file in FILE.findall(text) if not any(f"/{path}".endswith(f"/{file}") for path in OURS)]
    missing += [link for link in LINK.findall(text) if not (page.parent / link).exists()]
    missing += [name for name in MODULE.findall(text) if not resolves(name)]
    assert not missing


def anchors(page: Path) -> set[str]:
    """What a link can name of a page: its headings, as GitHub spells them."""
    headings = HEADING.findall(re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_link_to_a_section_finds_it(page):
    found = [(page.parent / path if path else page, anchor) for path, anchor in SECTION.findall(page.read_text())]
    assert not [(path.name, anchor) for path, anchor in found if anchor not in anchors(path)]


@pytest.mark.parametrize("page", MANUAL, ids=lambda page: page.name)
def test_the_manual_holds_no_dated_run(page):
    assert not DATED.findall(page.read_text(encoding="utf-8")), "a run belongs to docs/results"


def test_the_site_has_every_page():
    """`make docs` builds it, with a package that no test needs."""
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in ROOT.glob("docs/**/*.md")}
    assert set(re.findall(r"([\w/]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.M)) == pages
