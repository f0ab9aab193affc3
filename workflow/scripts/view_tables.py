"""Each table -> a page of it."""

from pathlib import Path

from confessions.analysis import catalogue, pages
from confessions.runtime.errors import reported

with reported(snakemake.log[0]) as say:
    for name, table, page in zip(snakemake.params.tables, snakemake.input, snakemake.output, strict=True):
        Path(page).write_text(pages.table(Path(table), catalogue.TABLES[name].title), encoding="utf-8")
    say(f"{len(snakemake.output)} pages")
