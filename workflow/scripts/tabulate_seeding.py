"""Scores of every seeded model, in each arm -> seeding.csv."""

from confessions.analysis import tables
from confessions.pipeline import specs
from confessions.runtime import provenance
from confessions.runtime.errors import reported

with reported(snakemake.log[0]) as say, provenance.recorded(snakemake):
    points = snakemake.params.points
    arms = zip(*(snakemake.input[arm] for arm in specs.ARMS), strict=True)
    scores = dict(zip(points, (dict(zip(specs.ARMS, files, strict=True)) for files in arms), strict=True))
    table = tables.seeding(scores, points, snakemake.params.labels)
    tables.write(table, snakemake.output.table)
    say(f"{snakemake.output.table}: {len(table)} rows")
