"""Training metrics of every seed -> the table that the rule names."""

from confessions.analysis import tables
from confessions.runtime import provenance
from confessions.runtime.errors import reported

with reported(snakemake.log[0]) as say, provenance.recorded(snakemake):
    metrics = dict(zip(snakemake.params.seeds, snakemake.input.metrics, strict=True))
    table = getattr(tables, snakemake.params.table)(metrics, snakemake.params.steps, snakemake.params.labels)
    tables.write(table, snakemake.output.table)
    say(f"{snakemake.output.table}: {len(table)} rows")
