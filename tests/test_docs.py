"""What the pages name is there: paths of the tree, modules, and links to other pages."""

import re
from pathlib import Path
from pkgutil import resolve_name

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "config.yaml", *ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("docs/**/*.j2")])
FOLDERS = ("benchmarks", "config", "docs", "envs", "profiles", "slurm", "src", "tests", "workflow")
PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./<>*-]*\w")
MODULE = re.compile(r"(?<![\w.])confessions(?!\.(?:def|sif))(?:\.[A-Za-z_]\w*)+")
FILE = re.compile(r"`([\w./]+\.(?:py|smk|sh))(?: [^`]*)?`")
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
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
