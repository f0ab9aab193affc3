"""A table as a page of HTML that needs nothing beside it: no server, no other file, no network."""

import csv
import html
from collections.abc import Iterable
from pathlib import Path

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 1.5rem; color: #222; background: #fff; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; font-size: 13px; }
th, td { border-bottom: 1px solid #ddd; padding: .2rem .6rem; text-align: left; white-space: nowrap; }
th { position: sticky; top: 0; background: #f3f3f3; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
input { font: inherit; padding: .2rem .5rem; margin-bottom: .8rem; width: 24rem; }
"""
FILTER = """
const rows = [...document.querySelectorAll("tbody tr")];
document.querySelector("input").oninput = event => {
  const words = event.target.value.toLowerCase().split(" ");
  for (const row of rows) row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word));
};
"""


def page(title: str, body: str) -> str:
    """A whole page with this title above its body, which is HTML."""
    name = html.escape(title)
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{name}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n<h1>{name}</h1>\n{body}\n</body>\n</html>\n"
    )


def table(file: Path, title: str) -> str:
    """The page of a CSV file: its rows with numbers to four digits, and a field that leaves rows with some words."""
    with file.open(encoding="utf-8", newline="") as lines:
        heads, *rows = csv.reader(lines)
    body = "\n".join(_row(map(_cell, row)) for row in rows)
    head = _row(f"<th>{html.escape(name)}</th>" for name in heads)
    field = f'<input type="search" placeholder="of {len(rows)} rows, those with these words">'
    drawn = f"<table><thead>{head}</thead><tbody>\n{body}\n</tbody></table>"
    return page(title, f"{field}\n{drawn}\n<script>{FILTER}</script>")


def _row(cells: Iterable[str]) -> str:
    return f"<tr>{''.join(cells)}</tr>"


def _cell(text: str) -> str:
    try:
        number = float(text)
    except ValueError:
        return f"<td>{html.escape(text)}</td>"
    shown = text if number.is_integer() and "e" not in text.lower() else f"{number:.4g}"
    return f'<td class="number">{shown}</td>'
