"""Scores of every checkpoint -> reproduction.csv."""

from itertools import product

from confessions import tables
from confessions.errors import reported

with reported(snakemake.log[0]) as say:
    cells = product(snakemake.params.seeds, snakemake.params.steps)
    scores = dict(zip(cells, snakemake.input.scores, strict=True))
    table = tables.reproduction(scores, snakemake.params.labels)
    tables.write(table, snakemake.output.table)
    say(f"{snakemake.output.table}: {len(table)} rows")
