"""Fill the numbers of the pages of results from their data files: python docs/results/render.py [--check]

A page NAME.md is made from NAME.md.j2 and the files of data/ and data/NAME/: each table (CSV) and each JSON file is
known to the template by its name without the ending, and the post's published figures as `published`. With --check
nothing is written, and a page that differs ends with an error.
"""

import json
import sys
from pathlib import Path

import jinja2
import pandas as pd

from confessions.analysis.stats import wilson

HERE = Path(__file__).parent
PUBLISHED = HERE.parents[1] / "src" / "confessions" / "data" / "published_figures.csv"


def rows(table: pd.DataFrame, **at: object) -> pd.DataFrame:
    """The rows of a table that have these values in these columns."""
    for column, value in at.items():
        table = table[table[column] == value]
    return table


def one(table: pd.DataFrame, **at: object) -> pd.Series:
    """The one row that has these values. ValueError where there is none or another."""
    (index,) = rows(table, **at).index
    return table.loc[index]


def number(row: pd.Series) -> str:
    """A value with its interval, where it is defined and has one."""
    if pd.isna(row["value"]):
        return "undefined"
    return f"{row['value']:.3f}" + ("" if pd.isna(row["low"]) else f" [{row['low']:.3f}, {row['high']:.3f}]")


def share(k: int, n: int) -> str:
    """k of n, as a share with Wilson's interval."""
    found = wilson(int(k), int(n))
    return f"{int(k)} of {int(n)}, {found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def span(values: pd.Series) -> str:
    """The range of a number over seeds, lowest to highest."""
    low, high = f"{values.min():.3f}", f"{values.max():.3f}"
    return low if low == high else f"{low} to {high}"


def table(file: Path) -> pd.DataFrame:
    """A CSV file in which the claim None is a word, and an empty cell is missing."""
    return pd.read_csv(file, keep_default_na=False, na_values=[""])


def render(template: Path) -> str:
    """The page of a template."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals |= {function.__name__: function for function in (rows, one, number, share, span)}
    shared = HERE / "data"
    folders = shared, shared / template.name.removesuffix(".md.j2")
    tables = {file.stem: table(file) for folder in folders for file in sorted(folder.glob("*.csv"))}
    records = {file.stem: json.loads(file.read_text()) for folder in folders for file in sorted(folder.glob("*.json"))}
    published = pd.read_csv(PUBLISHED, comment="#")
    text = environment.from_string(template.read_text(encoding="utf-8"))
    return text.render(**tables, **records, published=published) + "\n"


def main() -> None:
    stale = []
    for template in sorted(HERE.glob("*.md.j2")):
        page, text = template.with_suffix(""), render(template)
        if "--check" not in sys.argv[1:]:
            page.write_text(text, encoding="utf-8")
        elif not page.exists() or page.read_text(encoding="utf-8") != text:
            stale.append(page.name)
    if stale:
        sys.exit(f"docs/results: {', '.join(stale)}: not what the data files say; run python docs/results/render.py")


if __name__ == "__main__":
    main()
