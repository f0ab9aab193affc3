"""training.csv -> training_echo.png."""

from confessions import figures
from confessions.errors import reported

with reported(snakemake.log[0]) as say:
    figures.plot_training_echo(snakemake.input.table, snakemake.output.figure)
    say(f"{snakemake.output.figure}: drawn")
