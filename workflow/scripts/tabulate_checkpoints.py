"""Scores of every checkpoint -> the table that the rule names."""

from confessions.analysis import tables
from confessions.runtime import provenance
from confessions.runtime.errors import reported

with reported(snakemake.log[0]) as say, provenance.recorded(snakemake):
    checkpoints = [tuple(checkpoint) for checkpoint in snakemake.params.checkpoints]
    scores = dict(zip(checkpoints, snakemake.input.scores, strict=True))
    table = getattr(tables, snakemake.params.table)(scores, snakemake.params.labels)
    tables.write(table, snakemake.output.table)
    say(f"{snakemake.output.table}: {len(table)} rows")
