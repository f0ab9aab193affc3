"""Instructions with the kinds of requirement that are scored once, for what was chosen on those of development."""

from confessions.tasks.instructions.task import Instructions

TASK = Instructions("test")
