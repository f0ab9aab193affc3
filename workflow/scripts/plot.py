"""A table -> the figure that the rule names."""

from confessions.analysis import figures
from confessions.runtime import provenance
from confessions.runtime.errors import reported

with reported(snakemake.log[0]) as say, provenance.recorded(snakemake):
    draw = getattr(figures, f"plot_{snakemake.params.figure}")
    draw(snakemake.input.table, snakemake.output.figure)
    say(f"{snakemake.output.figure}: drawn")
