"""What was measured of a model's answers to a task, so that instances are chosen which it meets some of the time: the
part that these files (calibrations) have in common, how they are read, and whose they are."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from confessions.runtime.errors import InputError, first_line

FOLDER = "calibrations"  # of results: a folder for each model is in it


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Calibrated(Strict):
    """A JSON file. What is kept was met at a rate within `bounds`, both included."""

    task: str
    model: dict[str, Any] = Field(description="key, source, dtype and thinking, as the configuration has them")
    fingerprint: str = Field(description="of the model's weights")
    sampling: dict[str, Any] = Field(description="temperature, top_p, top_k, max_new_tokens, seed, engine")
    revision: str = Field(description="git commit of the code")
    answers: int = Field(ge=1)
    truncated: int = Field(ge=0)
    bounds: tuple[float, float] = Field(strict=False)

    def between(self, rate: float | None) -> bool:
        """Whether the model meets it some of the time, and not nearly never or always."""
        low, high = self.bounds
        return rate is not None and low <= rate <= high

    @abstractmethod
    def summary(self) -> str:
        """What is kept of what was measured, in a few words."""

    @abstractmethod
    def warnings(self) -> list[str]:
        """A line for each thing of which too little is left; none where there is enough."""


Form = TypeVar("Form", bound=Calibrated)


def read(path: Path, form: type[Form]) -> Form:
    """The calibration in a file. InputError, one line, where it is none of that form."""
    try:
        return form.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"{path}: no calibration can be read there ({first_line(error)}): confessions calibrate makes it"
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{path}: not a calibration ({where}: {first['msg']}); confessions calibrate makes one"
        ) from None


def of_model(path: str | Path) -> str | None:
    """The key of the model whose calibration or frozen answers the workflow makes at this path; None: it makes none."""
    _, folder, below = Path(path).as_posix().rpartition(f"{FOLDER}/")
    return below.partition("/")[0] if folder else None


def check_model(path: Path, form: type[Form], source: Mapping[str, Any], key: str) -> None:
    """Raise InputError where a calibration is of another model than `key`, which comes from `source`. Of one that the
    workflow has yet to make, the folder says whose it will be."""
    if path.is_file():
        theirs = read(path, form).model
        other, same = theirs.get("key"), identity(theirs.get("source", {})) == identity(source)
    else:
        other = of_model(path)
        same = other in (None, key)
    if not same:
        raise InputError(
            f"{path}: a calibration of {other}, and the model is {key}: confessions calibrate makes its own"
        )


def identity(source: Mapping[str, Any]) -> tuple[Any, ...]:
    """What tells one source of weights from another: a hash where there is one, else where they come from."""
    if source.get("sha256"):
        return ("sha256", source["sha256"])
    return tuple(sorted((name, str(value)) for name, value in source.items() if value is not None))
