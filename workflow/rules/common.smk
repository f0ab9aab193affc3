# Names that several stages share; all of them come from the validated configuration.
import os
import re
import sys
from importlib.util import find_spec
from itertools import product
from pathlib import Path

from snakemake.settings.types import DeploymentMethod

import confessions
from confessions.analysis import catalogue
from confessions.pipeline import paths, specs, subjects
from confessions.runtime import folders, outside
from confessions.tasks.base import VIEWS
from confessions.training import tracking

# Without --sdm, the environment that runs snakemake runs the jobs, activated or not. With it, each rule's `conda` or the
# image that config.yaml names does (docs/environments.md). An image holds no copy of the library: it reads this clone's.
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
os.environ.update(APPTAINERENV_PYTHONPATH=str(Path(confessions.__file__).parents[1]))
if DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method and not CONFIG.container:
    sys.exit("error: config.yaml: container = None: --sdm apptainer needs an image; docs/environments.md builds one")
TRAIN, PLOTS, VLLM, VLLM_CPU = (f"../../envs/{name}.yaml" for name in ("train", "plots", "vllm", "vllm-cpu"))

EXPERIMENT = CONFIG.active
PROBLEMS = [EXPERIMENT.problems] if EXPERIMENT.problems else []
PROBES = EXPERIMENT.evaluation.probes
CALIBRATED = [paths.calibration_file(key, task) for key in CONFIG.models for task in paths.CALIBRATED]  # by a rule
CALIBRATED += [file for key in CONFIG.models if EXPERIMENT.calibration.frozen for file in paths.frozen_files(key)]
for key, file in (EXPERIMENT.read_files | EXPERIMENT.trained_on).items():
    if not Path(file).is_file() and file not in CALIBRATED:
        sys.exit(f"error: config.yaml: experiments.{CONFIG.experiment}.{key} = {file!r}: no such file")
READ = [*dict.fromkeys(EXPERIMENT.read_files.values())]  # by rollouts
# Where nothing is trained, the rules of the policy stand there with nothing to do, and no target asks for them.
TRAINS = EXPERIMENT.train is not None
POLICIES = [EXPERIMENT.policy] if TRAINS else []
os.environ.update(tracking.environment(EXPERIMENT.train.report_to if TRAINS else ()))
SEEDS = EXPERIMENT.seeds if TRAINS else []
STEPS = EXPERIMENT.train.save_steps if TRAINS else []
ADAPTERS = not TRAINS or EXPERIMENT.train.lora is not None
POLICY = [paths.model_folder(key) for key in POLICIES]
JUDGES = [paths.model_folder(key) for key in CONFIG.judges]
POST_TRAINED = [key for key, model in CONFIG.models.items() if model.source.kind == "post_trained"]
# The policy's own rollouts and scores are made with those of its checkpoints.
OTHERS = [key for key in CONFIG.compared if key not in POLICIES]
SCORED = subjects.scored(CONFIG)

RESULTS = paths.results_folder(CONFIG)
RUN = paths.run_folder(CONFIG, "{seed}")
METRICS = paths.metrics_file(CONFIG, "{seed}")
TRAINING_ROLLOUTS = paths.training_rollouts(CONFIG, "{seed}")
ADAPTER = [
    f"{paths.adapter_folder(CONFIG, '{seed}', '{step}')}/{name}"
    for name in ("adapter_model.safetensors", "adapter_config.json")
]
# What a training run publishes: its adapters, or where every weight is trained a model for every step but 0, the policy.
CHECKPOINTS = (
    expand(ADAPTER, step=STEPS, allow_missing=True)
    if ADAPTERS
    else directory(expand(paths.checkpoint_model(CONFIG, "{seed}", "{step}"), step=STEPS[1:], allow_missing=True))
)
SCORES = paths.score_file(CONFIG, "{seed}", "{step}")
MODEL_ROLLOUTS = [paths.model_rollout_file(CONFIG, "{model}", probe) for probe in ("", *PROBES)]
MODEL_SCORES = [paths.model_score_file(CONFIG, "{model}", probe) for probe in ("", *PROBES)]
CHECK = [paths.judge_check_file(CONFIG)] if specs.checks_judge(CONFIG) else []  # answers made by code, judged
SURVEYS = subjects.survey_files(CONFIG)

PROCESSES = EXPERIMENT.train.processes if TRAINS else 1

RUN_LABELS = subjects.run_labels(CONFIG)


def one_of(names):
    """A wildcard's constraint: one of these names, or none at all."""
    return "|".join(map(re.escape, names)) or "(?!)"


def page(path, kind, name, category):
    """An output that the report shows, under its title: `kind` is figure or table, workflow/report has its caption."""
    title = {"figure": catalogue.FIGURES, "table": catalogue.TABLES}[kind][name].title
    return report(path, caption=f"../report/{kind}s/{name}.rst", category=category, labels={kind: title})


def model_labels(keys):
    return {key: CONFIG.models[key].label for key in keys}


def axis_labels(keys):
    """Labels of a table of several models; `nano` where all of them come from the embedded one."""
    kinds = {CONFIG.origin(key).source.kind for key in keys}
    return RUN_LABELS | {"source": kinds.pop() if len(kinds) == 1 else "mixed"}


wildcard_constraints:
    model=one_of(CONFIG.models),
    seed=one_of(map(str, SEEDS)),
    step=one_of(map(str, STEPS)),


def resources_for(*keys):
    """What a job asks for that loads the models `keys`: a GPU, unless all of them are declared to do without."""
    gpu = any(CONFIG.models[key].gpu for key in keys)
    embedded = all(CONFIG.origin(key).source.kind == "nano" for key in keys)
    return {"mem_mb": 64_000 if gpu else 3_000 if embedded else 8_000, "gpu": int(gpu)}


def training_resources():
    """What the training of the policy asks for: its processes have a GPU and a copy of the models each."""
    return {name: PROCESSES * n for name, n in resources_for(*POLICIES, *CONFIG.judges).items()}


def sampling_resources(*keys):
    """What a job asks for that samples with the models `keys`: vLLM may share one model out to several GPUs."""
    resources = resources_for(*keys)
    if keys and EXPERIMENT.engine == "vllm":
        resources["gpu"] *= EXPERIMENT.vllm.tensor_parallel_size
        resources["mem_mb"] += 3_000  # vLLM itself, and its cache where there is no GPU
    return resources


def sampling_environment(*keys):
    """The conda environment of a job that samples with the models `keys`; a job without a GPU takes vLLM's CPU build."""
    if not keys or EXPERIMENT.engine != "vllm":
        return TRAIN
    return VLLM if sampling_resources(*keys)["gpu"] else VLLM_CPU


def paired(rollouts, scores):
    """--rollouts a --out b for every pair of files."""
    return " ".join(f"--rollouts {a} --out {b}" for a, b in zip(rollouts, scores, strict=True))
