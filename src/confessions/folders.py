"""Folders of results that no model and no experiment may be called like: theirs lie beside them.

tests/test_config.py holds this list to the paths of the workflow's rules and of specs.py.
"""

PROVENANCE = "provenance"  # records of what jobs made (provenance.py)
WORK = "work"  # what killed jobs go on from

# In results/, beside the experiments.
SHARED = ("models", "tables", "figures", "logs", "slurm_logs")
# In results/models and results/EXPERIMENT.
OWN = (PROVENANCE, WORK, "logs", "models", "seeding", "survey", "rollouts", "scores", "train", "adapters")
# What the rule rebuild_nano makes, beside the models.
REBUILT = ("nano-rebuilt-xs", "nano-rebuilt-s", "nano-rebuilt-m")

TAKEN = frozenset({*SHARED, *OWN, *REBUILT})
