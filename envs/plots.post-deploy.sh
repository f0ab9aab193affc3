# Run by Snakemake in the new environment, where snakemake was started: the library of this clone, as it stands.
set -e
python -m pip install --no-deps --no-build-isolation -e .
