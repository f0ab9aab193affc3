"""Programming problems with public samples and hidden tests: generated, or read from a copy of a data set."""

from confessions.tasks.programming.problems.base import Band, Problem, Split, generated, matches
