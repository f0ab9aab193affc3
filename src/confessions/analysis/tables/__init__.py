"""The result tables, tidy: one number a row, with its interval, its n and how the interval was made.

reproduction.csv    reproduction    every metric at every checkpoint of a training run
training.csv        training        what a training run logged, step by step
onset.csv           onset           when the task's own hack begins in training
stress_grid.csv     stress_grid     every metric in every cell: checkpoint x condition x variant
wordings.csv        wordings        how much a condition depends on its wording
probes.csv          probes          every metric of rollouts on another task, or about stored answers
by_kind.csv         by_kind         claims and findings of the probes, by kind of objective
reliability.csv     reliability     how often what was given a probability is met, in the probes
scale.csv           by_model        every metric of plain models, by size
ladder.csv          by_model        the same by training stage
verification.csv    verification    whether claims are right because the model checked
hack_survey.csv     hack_survey     how often each hack detector fires
judge.csv           judge           the weak judge against ground truth, by checkpoint and condition
judge_check.csv     judge_check     the weak judge on answers made by code, half of them with one known fault
power.csv           power           what difference the evaluation can see
seeding.csv         seeding         what a seeded hack does to a model and its confessions

The column `kind` says what a number is; the kinds stand at the head of each table's module. `progress` is the part of
a run in percent, `seed` the training seed.
"""

from confessions.analysis.tables.base import COLUMNS, GRID_COLUMNS, LABELS, MODEL_COLUMNS, read, write
from confessions.analysis.tables.by_kind import BY_KIND_COLUMNS, by_kind
from confessions.analysis.tables.grid import stress_grid
from confessions.analysis.tables.judge import JUDGE_COLUMNS, judge
from confessions.analysis.tables.judge_check import JUDGE_CHECK_COLUMNS, judge_check
from confessions.analysis.tables.long import LONG_COLUMNS, long, write_long
from confessions.analysis.tables.models import by_model
from confessions.analysis.tables.onset import onset
from confessions.analysis.tables.power import POWER_COLUMNS, power
from confessions.analysis.tables.probes import PROBE_COLUMNS, probes, read_probes
from confessions.analysis.tables.reliability import RELIABILITY_COLUMNS, reliability
from confessions.analysis.tables.reproduction import reproduction
from confessions.analysis.tables.seeding import SEEDING_COLUMNS, seeding
from confessions.analysis.tables.survey import SURVEY_COLUMNS, hack_survey
from confessions.analysis.tables.training import SHARES, training
from confessions.analysis.tables.verification import VERIFICATION_COLUMNS, verification
from confessions.analysis.tables.wordings import wordings
