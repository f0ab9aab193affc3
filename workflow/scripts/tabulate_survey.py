"""Survey rollouts -> hack_survey.csv."""

from confessions.analysis import tables
from confessions.runtime import outside, provenance
from confessions.runtime.errors import reported

with reported(snakemake.log[0]) as say, provenance.recorded(snakemake):
    for file in snakemake.params.detectors:
        outside.module(file)  # importing registers them
    table = tables.hack_survey(list(snakemake.input), snakemake.params.labels)
    tables.write(table, snakemake.output.table)
    say(f"{snakemake.output.table}: {len(table)} rows")
