"""Instructions with the kinds of requirement on which remedies are compared."""

from confessions.tasks.instructions.task import Instructions

TASK = Instructions("development")
