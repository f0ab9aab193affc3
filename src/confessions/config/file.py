"""Configuration files as data: YAML read strictly, and values that no setting can have.

yaml.safe_load takes the last of two equal keys without a word, follows aliases that unfold to gigabytes, and ends in a
traceback at what is no text, nested too deeply or no number. Here each of them is a ConfigError of one line.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from confessions.runtime.errors import InputError, first_line

LARGEST_FILE = 2**20  # bytes
LARGEST = 100_000  # values, an alias counted wherever it is used
DEEPEST = 50  # levels
NUMBERS_BELOW = 2**53  # a float holds each integer below


class ConfigError(InputError):
    """The configuration is wrong; the message is one line: key, value, what is wrong, nearest known key."""


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a scalar that is not what its tag says (!!int "", 2024-13-45) is an error of the file."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, TypeError) as error:
            raise yaml.constructor.ConstructorError(None, None, first_line(error), node.start_mark) from None


def read(path: str | Path) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Raises ConfigError, which names the file and where there is one the line, for a file that is not there, not UTF-8,
    not YAML, empty or no mapping; for a key that stands twice in one mapping; for nesting beyond DEEPEST levels and
    aliases that unfold to more than LARGEST values or hold themselves.
    """
    try:
        return _mapping(_text(path))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}: save it as UTF-8") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {one_line(error)}") from None
    except RecursionError:
        raise ConfigError(f"{path}: nested deeper than {DEEPEST} levels") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both mappings in one, as Snakemake joins its configuration files: mappings key by key, of the rest the later."""
    both = dict(below)
    for key, value in above.items():
        under = both.get(key)
        if isinstance(value, Mapping):
            value = laid_over(under if isinstance(under, Mapping) else {}, value)
        both[key] = value
    return both


def _text(path: str | Path) -> str:
    with Path(path).open("rb") as file:
        raw = file.read(LARGEST_FILE + 1)
    if len(raw) > LARGEST_FILE:
        raise ConfigError(f"larger than {LARGEST_FILE} bytes: no configuration")
    return raw.decode("utf-8")


def _mapping(text: str) -> dict[str, Any]:
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise ConfigError("the file is empty" if root is None else "no mapping: write lines of `key: value`")
        _weigh(root, "", {})
        return loader.construct_document(root)
    finally:
        loader.dispose()


def _weigh(node: yaml.Node, path: str, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """Values below `node`, each alias counted anew, and levels; `known` holds those of the nodes that were met, None
    while they are being weighed. Keys are compared on the way."""
    if isinstance(node, yaml.ScalarNode):
        return 1, 0
    if id(node) not in known:
        known[id(node)] = None
        below = [_weigh(child, name, known) for name, child in _children(node, path)]
        size, depth = 1 + sum(n for n, _ in below), 1 + max((levels for _, levels in below), default=0)
        known[id(node)] = size, depth
        if size > LARGEST:
            raise ConfigError(f"{_at(node)}its aliases unfold to more than {LARGEST} values")
        if depth > DEEPEST:
            raise ConfigError(f"{_at(node)}nested deeper than {DEEPEST} levels")
    if (found := known[id(node)]) is None:
        raise ConfigError(f"{_at(node)}an alias stands for what it is a part of")
    return found


def _children(node: yaml.Node, path: str) -> Iterator[tuple[str, yaml.Node]]:
    """The nodes below one, each with its path. ConfigError at a key that stands twice."""
    if isinstance(node, yaml.SequenceNode):
        yield from ((f"{path}.{number}", child) for number, child in enumerate(node.value))
        return
    lines: dict[Hashable, int] = {}
    for key, child in node.value:
        last = key.value if isinstance(key, yaml.ScalarNode) else "?"
        name = f"{path}.{last}" if path else last
        if isinstance(key, yaml.ScalarNode):
            line, same = key.start_mark.line + 1, (key.tag, key.value)
            if same in lines:
                again = f"the key {printable(name)} stands a second time; first in line {lines[same]}"
                raise ConfigError(f"line {line}: {again}")
            lines[same] = line
        yield name, key
        yield name, child


def _at(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}: "


def check(data: Any, path: str = "") -> None:
    """Raise ConfigError at a value that no setting can have.

    These are keys that are no text, numbers from 2^53 on (floats and what counts from them would overflow), and texts
    with a control character, half a surrogate pair, or a brace, in which snakemake sees a wildcard.
    """
    if isinstance(data, Mapping):
        for key, value in data.items():
            if not isinstance(key, str):
                raise ConfigError(_wrong(path, key, "a key that is no text: put it in quotes"))
            check(value, f"{path}.{key}" if path else key)
    elif isinstance(data, list | tuple):
        for number, value in enumerate(data):
            check(value, f"{path}.{number}" if path else str(number))
    elif isinstance(data, int | float) and NUMBERS_BELOW <= abs(data) < float("inf"):
        raise ConfigError(_wrong(path, data, f"a number that is not below {NUMBERS_BELOW}"))
    elif isinstance(data, str) and (odd := next(filter(_is_odd, data), None)):
        raise ConfigError(_wrong(path, data, f"the character {odd!a} cannot be used here"))


def _is_odd(character: str) -> bool:
    return character in "{}" or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def _wrong(path: str, value: Any, what: str) -> str:
    return printable(f"{path or 'the file'} = {short(value)}: {what}")


def short(value: Any) -> str:
    """A value, in at most 60 characters."""
    try:
        text = repr(value)
    except ValueError:  # python writes no integer of more than 4300 digits
        text = f"an integer of {value.bit_length()} bits" if isinstance(value, int) else f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."


def printable(text: str) -> str:
    """One line of it: what cannot be printed, escaped. A key can hold a line break."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def one_line(error: yaml.YAMLError) -> str:
    return printable(" ".join(str(error).split()))
