"""Configuration files that YAML would take, or that would end it in a traceback: one line each."""

import copy
import re
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from snakemake.utils import update_config

from confessions.config.file import DEEPEST, LARGEST_FILE, ConfigError, check, laid_over, read

ROOT = Path(__file__).parents[2]


def error(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert len(message.splitlines()) == 1
    return message.removeprefix(f"{path}: ")


def test_what_is_read_is_what_yaml_reads():
    for path in (ROOT / "config.yaml", *(ROOT / "config").glob("*.yaml")):
        assert read(path) == yaml.safe_load(path.read_text())


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)
MERGED = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 10))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: the key a stands a second time; first in line 1"),
        ("a: {b: {c: 1, d: 2, 'c': 3}}", "line 1: the key a.b.c stands a second time; first in line 1"),
        ("a:\n- b: 1\n  b: 2", "line 3: the key a.0.b stands a second time; first in line 2"),
        ("x: &x {a: 1}\ny:\n  <<: *x\n  <<: *x", "line 4: the key y.<< stands a second time; first in line 3"),
        ("? {a: 1, a: 2}\n: 3", "the key ?.a stands a second time"),
        ('"a\\nb": 1\n"a\\nb": 2', r"line 2: the key a\nb stands a second time"),
        ("", "the file is empty"),
        ("# only a comment", "the file is empty"),
        ("- 1", "no mapping: write lines of `key: value`"),
        ("3", "no mapping"),
        ("a: b: c", "not YAML: mapping values are not allowed here"),
        ("a: 1\n--- \nb: 2", "not YAML: expected a single document"),
        ("a: \x00", "not YAML: unacceptable character"),
        ("a: !!python/name:os.system x", "not YAML: could not determine a constructor"),
        ("a: 1" + "0" * 5000, "not YAML: Exceeds the limit"),
        ("a: 2024-13-45", "not YAML: month must be in 1..12"),
        ('a: !!int ""', "not YAML: "),
        ("a: !!bool maybe", "not YAML: "),
        ("a: !!timestamp soon", "not YAML: "),
        ("a: " + "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), f"line 1: nested deeper than {DEEPEST} levels"),
        ("a: " + "[" * 9000 + "]" * 9000, f"nested deeper than {DEEPEST} levels"),
        ("a: " + "{a: " * 9000, f"nested deeper than {DEEPEST} levels"),
        ("a: &a [*a]", "line 1: an alias stands for what it is a part of"),
        ("a: &a {b: *a}", "line 1: an alias stands for what it is a part of"),
        (LAUGHS, "line 6: its aliases unfold to more than 100000 values"),
        (MERGED, "its aliases unfold to more than 100000 values"),
        ("a: &a0 [x]\nb: [" + ", ".join(f"&a{n} [*a{n - 1}]" for n in range(1, 99)) + "]", "nested deeper than"),
        ("a: " + "x" * LARGEST_FILE, f"larger than {LARGEST_FILE} bytes"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(tmp_path, text, expected):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    assert expected in error(path)


def test_files_that_are_no_text(tmp_path):
    path = tmp_path / "a.yaml"
    assert error(path) == "No such file or directory"
    path.mkdir()
    assert error(path) == "Is a directory"
    for number, raw in enumerate((b"a: \xff", "a: b".encode("utf-16"), b"\x80")):
        file = tmp_path / f"{number}.yaml"
        file.write_bytes(raw)
        assert "not UTF-8 at byte" in error(file)


def test_equal_keys_of_different_mappings_and_merges_are_fine(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("x: &x {a: 1, b: 2}\ny: {<<: *x, a: 3}\nz: [{a: 1}, {a: 1}]\n")
    assert read(path) == {"x": {"a": 1, "b": 2}, "y": {"a": 3, "b": 2}, "z": [{"a": 1}, {"a": 1}]}


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_no_text_ends_in_another_error(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    with suppress(ConfigError):
        assert isinstance(read(path), dict)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (10**400, r"^a\.b\.0 = 1000.*\.\.\.: a number that is not below 9007199254740992$"),
        (-(10**400), "a number that is not below"),
        (1e300, r"^a\.b\.0 = 1e\+300: a number that is not below 9007199254740992$"),
        pytest.param(16**9000, "= an integer of 36001 bits: a number that is not below", id="hexadecimal"),
        ("a{b", r"^a\.b\.0 = 'a{b': the character '{' cannot be used here$"),
        ("a}", "the character '}' cannot be used here"),
        ("a\x00b", r"the character '\x00' cannot be used here"),
        ("a\nb", r"the character '\n' cannot be used here"),
        ("\ud800", r"the character '\ud800' cannot be used here"),
        ("a\u2028", r"the character '\u2028' cannot be used here"),
        ({1: 2}, r"a.b.0 = 1: a key that is no text: put it in quotes"),
        ({None: 2}, "a key that is no text"),
    ],
)
def test_values_that_no_setting_can_have(value, expected):
    with pytest.raises(ConfigError) as caught:
        check({"a": {"b": [value]}})
    message = str(caught.value)
    assert re.search(expected, message) if expected.startswith("^") else expected in message
    assert message.isprintable()


def test_values_that_a_setting_can_have():
    check({"a": [0, -1, 2**53 - 1, 1.5, float("nan"), float("inf"), True, None, "Ünïcode 模型, $1 (a b)/~"]})


@pytest.mark.parametrize(
    ("below", "above"),
    [
        ({"a": {"b": 1, "c": [1, 2]}}, {"a": {"c": [3], "d": {}}, "e": None}),
        ({"a": 1}, {}),
        ({}, {"a": {"b": {"c": 1}}}),
        ({"a": {"b": 1}}, {"a": 2}),
    ],
)
def test_files_are_laid_over_each_other_as_snakemake_lays_them(below, above):
    theirs = copy.deepcopy(below)
    update_config(theirs, above)
    assert laid_over(below, above) == theirs
