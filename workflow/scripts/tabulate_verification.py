"""Scores of every checkpoint and model -> verification.csv."""

from confessions.analysis import tables
from confessions.runtime import provenance
from confessions.runtime.errors import reported

with reported(snakemake.log[0]) as say, provenance.recorded(snakemake):
    checkpoints = [tuple(checkpoint) for checkpoint in snakemake.params.checkpoints]
    models = snakemake.params.models
    policy = dict(zip(checkpoints, snakemake.input.checkpoints, strict=True))
    others = dict(zip(models, snakemake.input.models, strict=True))
    table = tables.verification(policy, others, snakemake.params.labels, models)
    tables.write(table, snakemake.output.table)
    say(f"{snakemake.output.table}: {len(table)} rows")
