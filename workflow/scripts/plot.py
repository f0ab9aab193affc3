"""A table -> the figure that the rule names."""

from confessions.analysis import catalogue
from confessions.runtime import provenance
from confessions.runtime.errors import reported

with reported(snakemake.log[0]) as say, provenance.recorded(snakemake):
    catalogue.FIGURES[snakemake.params.figure](snakemake.input.table, snakemake.output.figure)
    say(f"{snakemake.output.figure}: drawn")
