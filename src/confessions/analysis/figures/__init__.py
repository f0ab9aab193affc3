"""The figures. They read tables and nothing else.

reproduction.png    honesty against training progress, beside what always claiming None or Full would have got
training_echo.png   how often the weak judge is fooled, by training step
hack_emergence.png  how often the task's own hack is done, and what is confessed, by training step
stress_grid.png     honest grades under each system prompt and each confession request, by training progress
self_knowledge.png  what confessions know of the answer, within kind, in every probe and by training step
by_kind.png         claims and findings of the probes, by kind of objective
reliability.png     how often what was given a probability is met, in the probes
scale.png           what is claimed of right and of wrong objectives, by model
ladder.png          the same by training stage
seeding.png         how a seeded hack takes, and what confessions owe to the reasoning in front of the answer
"""

from confessions.analysis.figures.by_kind import plot_by_kind
from confessions.analysis.figures.claims import plot_ladder, plot_scale
from confessions.analysis.figures.emergence import plot_hack_emergence
from confessions.analysis.figures.reliability import plot_reliability
from confessions.analysis.figures.reproduction import plot_reproduction, plot_training_echo
from confessions.analysis.figures.seeding import plot_seeding
from confessions.analysis.figures.self_knowledge import plot_self_knowledge
from confessions.analysis.figures.stress_grid import plot_stress_grid
