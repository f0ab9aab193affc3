"""Judged answers made by code -> judge_check.csv."""

from confessions.analysis import tables
from confessions.runtime import provenance
from confessions.runtime.errors import reported

with reported(snakemake.log[0]) as say, provenance.recorded(snakemake):
    table = tables.judge_check(snakemake.input.answers, snakemake.params.labels)
    tables.write(table, snakemake.output.table)
    say(f"{snakemake.output.table}: {len(table)} rows")
