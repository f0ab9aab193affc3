"""Scores of several models -> scale.csv or ladder.csv."""

from confessions.analysis import tables
from confessions.runtime import provenance
from confessions.runtime.errors import reported

with reported(snakemake.log[0]) as say, provenance.recorded(snakemake):
    models = snakemake.params.models
    scores = dict(zip(models, snakemake.input.scores, strict=True))
    table = tables.by_model(scores, models, snakemake.params.labels)
    tables.write(table, snakemake.output.table)
    say(f"{snakemake.output.table}: {len(table)} rows")
