"""Scores of every seeded model, with and without its reasoning in context -> seeding.csv."""

from confessions import provenance, tables
from confessions.errors import reported

with reported(snakemake.log[0]) as say, provenance.recorded(snakemake):
    points = snakemake.params.points
    scores = dict(zip(points, zip(snakemake.input.intact, snakemake.input.masked, strict=True), strict=True))
    table = tables.seeding(scores, points, snakemake.params.labels)
    tables.write(table, snakemake.output.table)
    say(f"{snakemake.output.table}: {len(table)} rows")
