"""The workflow's stages, one file each: a block of the configuration (specs.py) and files in, files out."""

from collections.abc import Callable, Mapping
from typing import Any

Say = Callable[[str], None]
Block = Mapping[str, Any]
