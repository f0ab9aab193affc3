"""Running programs that a model wrote, shut away from everything: what is enforced by what is in docs/sandbox.md."""

from confessions.sandbox.base import NOT_MEASURED, Limits, Outcome, Program, Status
from confessions.sandbox.pool import Sandbox
