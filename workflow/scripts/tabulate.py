"""What the rule reads -> the table that it names. Files of an argument that has `subjects` are one of each."""

from confessions.analysis import catalogue, tables
from confessions.runtime import provenance
from confessions.runtime.errors import reported

with reported(snakemake.log[0]) as say, provenance.recorded(snakemake):
    given, files = snakemake.params, dict(snakemake.input.items())
    files |= {name: dict(zip(subjects, files[name], strict=True)) for name, subjects in given.subjects.items()}
    table = catalogue.TABLES[given.table](**files, **given.given, labels=given.labels)
    tables.write(table, snakemake.output.table)
    say(f"{snakemake.output.table}: {len(table)} rows")
