"""Survey rollouts -> hack_survey.csv."""

from confessions.analysis import tables
from confessions.runtime import provenance
from confessions.runtime.errors import reported

with reported(snakemake.log[0]) as say, provenance.recorded(snakemake):
    table = tables.hack_survey(list(snakemake.input), snakemake.params.labels)
    tables.write(table, snakemake.output.table)
    say(f"{snakemake.output.table}: {len(table)} rows")
