"""The model that a policy is trained from."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from confessions.models import loading


@dataclass(frozen=True)
class Base:
    folder: Path
    dtype: str
    thinking: bool
    key: str  # its name in the configuration

    @cached_property
    def fingerprint(self) -> str:
        """What tells it from another one. Raises InputError where it is no whole model."""
        return loading.fingerprint(self.folder)
