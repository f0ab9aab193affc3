"""Fill the numbers of the pages of results from their data files: python docs/results/render.py [--check]

A page NAME.md is made from NAME.md.j2 and the files of data/NAME/: each table (CSV) and each JSON file is known to the
template by its name without the ending. With --check nothing is written, and a page that differs ends with an error.
"""

import json
import sys
from pathlib import Path

import jinja2
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

HERE = Path(__file__).parent


def share(k: int, n: int) -> str:
    """`k of n` as a proportion with its 95 % Wilson interval."""
    low, high = proportion_confint(k, n, method="wilson")
    return f"{k / n:.3f} [{low:.3f}, {high:.3f}]"


def render(template: Path) -> str:
    """The page of a template."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals |= {"share": share}
    data = HERE / "data" / template.name.removesuffix(".md.j2")
    tables = {file.stem: pd.read_csv(file) for file in sorted(data.glob("*.csv"))}
    records = {file.stem: json.loads(file.read_text()) for file in sorted(data.glob("*.json"))}
    return environment.from_string(template.read_text(encoding="utf-8")).render(**tables, **records) + "\n"


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
