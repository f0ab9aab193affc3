"""Scores of every seeded model, by the view that turn 2 had -> seeding.csv."""

from confessions.analysis import tables
from confessions.runtime import provenance
from confessions.runtime.errors import reported
from confessions.tasks.base import VIEWS

with reported(snakemake.log[0]) as say, provenance.recorded(snakemake):
    points = snakemake.params.points
    views = zip(*(snakemake.input[view] for view in VIEWS), strict=True)
    scores = dict(zip(points, (dict(zip(VIEWS, files, strict=True)) for files in views), strict=True))
    table = tables.seeding(scores, points, snakemake.params.labels)
    tables.write(table, snakemake.output.table)
    say(f"{snakemake.output.table}: {len(table)} rows")
