"""The workflow's stages, one file each: a block of the configuration (specs.py) and files in, files out."""

from collections.abc import Mapping
from typing import Any

Block = Mapping[str, Any]
