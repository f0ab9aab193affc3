"""A block of the configuration that takes no unknown key, and what is wrong with one in a single line.

The line has the key's path, the value, and the nearest known name where there is one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from confessions import prompts, tasks
from confessions.config.file import printable, short
from confessions.runtime import outside
from confessions.runtime.errors import InputError

LONGEST = 160  # of what becomes part of a file's name, which has at most 255 bytes
# Two of them stand in a log's name.
Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=LONGEST // 2)]
UNKNOWN = "unknown key"


class Strict(BaseModel):
    """Base of every block: no unknown keys, no type coercion, no change after validation."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        for key in data if isinstance(data, Mapping) else ():
            if key not in cls.model_fields:
                raise wrong(UNKNOWN, key, data[key], cls.model_fields)
        return data


def wrong(what: str, key: Any, value: Any, known: Iterable[str] = ()) -> PydanticCustomError:
    """A validation error at `key`, relative to its block; an unknown name gets the nearest of `known`."""
    known = list(known)
    near = difflib.get_close_matches(str(key if what == UNKNOWN else value), known, n=1, cutoff=0.4)
    hint = f"; nearest known: {near[0]!r}" if near else f"; known: {', '.join(known)}" if known else ""
    context = {"what": what, "hint": hint, "key": key, "value": value}
    return PydanticCustomError("confessions", "{what}{hint}", context)


def repeats(values: Sequence[Any]) -> bool:
    return len(set(values)) < len(values)


def check_task(key: str, name: str) -> None:
    """A task of the package, or one at a path."""
    if not outside.is_path(name):
        if name not in tasks.names():
            raise wrong("unknown task", key, name, tasks.names())
        return
    try:
        tasks.get(name)
    except InputError as error:
        raise wrong(str(error), key, name) from None


def check_function(key: str, name: str, known: Iterable[str]) -> None:
    """One of the known names, or a file at a path."""
    if outside.is_path(name):
        check_file(key, name)
    elif name not in known:
        raise wrong("unknown function", key, name, known)


def check_text(folder: str, key: str, name: str, known: Sequence[str]) -> None:
    """One of the known texts of prompts/`folder`, or one at a path."""
    if not outside.is_path(name):
        if name not in known:
            raise wrong(f"no such text in prompts/{folder}", key, name, known)
        return
    try:
        prompts.text(folder, name)
    except InputError as error:
        raise wrong(str(error), key, name) from None


def check_variant(key: str, task: str, name: str) -> None:
    """A wording of the request for every task, or this one's own, or a text at a path."""
    known = prompts.names("variants")
    if name not in known and not outside.is_path(name):
        known = (*known, *tasks.get(task).variants())
        if others := [other for other in tasks.names() if name not in known and name in tasks.get(other).variants()]:
            raise wrong(f"a wording for {prompts.listed(others)} alone", key, name)
    check_text("variants", key, name, known)


def check_file(key: str, path: str) -> None:
    try:
        outside.digest(path)
    except InputError as error:
        raise wrong(str(error), key, path) from None


def first_wrong(error: ValidationError, data: Any) -> str:
    """The first error as one line, 'path = value: what'; unknown keys go first: they explain missing ones."""
    errors = sorted(error.errors(), key=lambda item: item.get("ctx", {}).get("what") != UNKNOWN)
    first, path = errors[0], []
    for part in first["loc"]:  # holds names of union members too, which the file does not have
        if part in (data if isinstance(data, Mapping) else range(len(data)) if isinstance(data, list) else ()):
            path.append(str(part))
            data = data[part]
    if first["type"].startswith("union_tag"):
        first = _kind(first, data)
    message = first["msg"][0].lower() + first["msg"][1:]
    if "what" in (context := first.get("ctx", {})):
        path.append(str(context["key"]))
        message = f" = {short(context['value'])}: {message}"
    elif first["type"] == "missing":
        path.append(str(first["loc"][-1]))
        message = ": this key is missing"
    else:
        message = f" = {short(data)}: {message}"
        if isinstance(data, str) and first["type"].startswith("float"):
            message += " (YAML wants a point: 1.0e-5, not 1e-5)"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return printable(f"{'.'.join(path) or 'the file'}{message}{more}")


def _kind(error: Mapping[str, Any], block: Any) -> dict[str, Any]:
    """The error of a block whose `kind` is unknown or missing, as `_error` and pydantic would have it."""
    if error["type"] == "union_tag_invalid":
        found = wrong("unknown kind", "kind", block["kind"], re.findall(r"'([^']+)'", error["ctx"]["expected_tags"]))
    elif near := difflib.get_close_matches("kind", block, n=1):
        found = wrong(UNKNOWN, near[0], block[near[0]], ["kind"])
    else:
        return {"type": "missing", "loc": ("kind",), "msg": error["msg"]}
    return {"type": found.type, "msg": found.message(), "ctx": found.context}
