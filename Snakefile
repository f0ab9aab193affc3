# One experiment of config.yaml, from the model to the figures: model -> train -> rollouts -> scores -> tables, figures.
#   snakemake                                     the experiment that config.yaml names (the demo)
#   snakemake --config experiment=reproduction    another one
#   snakemake -n                                  what would run, and why
import os
import sys

from snakemake.utils import min_version

from confessions.pipeline import persistence
from confessions.config import ConfigError, load, read

min_version("9.0")
persistence.install()  # a killed snakemake leaves no lock behind, and a file that was cut short is made again
CONFIG_FILE = "config.yaml"

# Snakemake takes the last of two equal keys without a word, so the files are read here first.
try:
    for file in (*([CONFIG_FILE] if os.path.exists(CONFIG_FILE) else []), *workflow.configfiles):
        read(file)
except ConfigError as error:
    sys.exit(f"error: {error}")  # one line; a WorkflowError would add two of its own


configfile: CONFIG_FILE


report: "workflow/report/workflow.rst"


try:
    CONFIG = load(config)
except ConfigError as error:
    sys.exit(f"error: {error}")


container: CONFIG.container


include: "workflow/rules/common.smk"
include: "workflow/rules/model.smk"
include: "workflow/rules/calibrate.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/rollouts.smk"
include: "workflow/rules/scores.smk"
include: "workflow/rules/logs.smk"
include: "workflow/rules/seeding.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/view.smk"


# Intermediate files are targets too, so that a deleted one is made again although what depends on it still exists.
rule all:
    default_target: True
    input:
        VIEW,
        PAGES,
        [f"{RESULTS}/{folder}/{file}" for folder, files in MADE.items() for file in files],
        SHARDS,
        CHECK,
        expand([METRICS, TRAINING_ROLLOUTS], seed=SEEDS),
        [file for subject in SCORED for file in (subject.rollouts, subject.scores)],
        LOGS,
        "results/logs" if LOGS else [],


rule seeding:
    input:
        SWEPT_VIEW,
        SWEPT_PAGES,
    localrule: True
