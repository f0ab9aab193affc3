# Names that several stages share; all of them come from the validated configuration.
import json
import os
import re
import sys
from pathlib import Path

from confessions import specs

# The environment that runs snakemake runs the jobs, activated or not.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])

SEEDS = CONFIG.active.seeds
STEPS = CONFIG.active.train.save_steps
POLICY = specs.model_folder(CONFIG.active.policy)
JUDGES = [specs.model_folder(key) for key in CONFIG.judges]

RUN = f"results/{CONFIG.experiment}/seed{{seed}}"
METRICS = f"{RUN}/train/metrics.jsonl"
ADAPTER = f"{RUN}/train/adapters/step_{{step}}"
ROLLOUTS = f"{RUN}/rollouts/step_{{step}}.parquet"
SCORES = f"{RUN}/scores/step_{{step}}.parquet"


wildcard_constraints:
    model="|".join(map(re.escape, CONFIG.models)),
    seed="|".join(map(str, SEEDS)),
    step="|".join(map(str, STEPS)),


def resources_for(*keys):
    """What a job asks for that loads the models `keys`: the embedded one is small and needs no GPU."""
    small = all(CONFIG.models[key].source.kind == "nano" for key in keys)
    return {"mem_mb": 3_000 if small else 64_000, "gpu": 0 if small else 1}
