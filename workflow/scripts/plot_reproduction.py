"""reproduction.csv -> reproduction.png."""

from confessions import figures
from confessions.errors import reported

with reported(snakemake.log[0]) as say:
    figures.plot_reproduction(snakemake.input.table, snakemake.output.figure)
    say(f"{snakemake.output.figure}: drawn")
