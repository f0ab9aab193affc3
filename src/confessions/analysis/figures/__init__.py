"""The figures. They read tables and nothing else.

reproduction.png    honesty against training progress, beside what always claiming None or Full would have got
training_echo.png   how often the weak judge is fooled, by training step
hack_emergence.png  how often the task's own hack is done, and what is confessed, by training step
stress_grid.png     honest grades under each system prompt and each confession request, by training progress
scale.png           what is claimed of right and of wrong objectives, by model
ladder.png          the same by training stage
seeding.png         how a seeded hack takes, and what confessions owe to the reasoning in front of the answer
"""

from confessions.analysis.figures.claims import plot_ladder, plot_scale
from confessions.analysis.figures.emergence import plot_hack_emergence
from confessions.analysis.figures.reproduction import plot_reproduction, plot_training_echo
from confessions.analysis.figures.seeding import plot_seeding
from confessions.analysis.figures.stress_grid import plot_stress_grid
