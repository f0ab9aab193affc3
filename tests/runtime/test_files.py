"""Files are published whole or not at all."""

import errno
import os
import re
from contextlib import suppress
from random import Random

import pandas as pd
import pytest

from confessions.runtime.errors import InputError
from confessions.runtime.files import (
    parse_json,
    published,
    published_folder,
    read_csv,
    read_jsonl,
    read_parquet,
    room_for,
    write_parquet,
)


def test_a_file_appears_when_it_is_whole(tmp_path):
    out = tmp_path / "new" / "out.csv"
    with published(out) as temporary:
        temporary.write_text("whole")
        assert temporary.parent == out.parent
        assert temporary.suffix == ".csv"
        assert not out.exists()
    assert out.read_text() == "whole"
    assert list(out.parent.iterdir()) == [out]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    out = tmp_path / "out.csv"
    out.write_text("old")
    with pytest.raises(KeyboardInterrupt), published(out) as temporary:
        temporary.write_text("hal")
        raise KeyboardInterrupt
    assert out.read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]


def test_what_a_killed_process_left_is_removed(tmp_path):
    for name in (".out.123.csv", ".out.123", ".other.123.csv", ".out.x.csv"):
        (tmp_path / name).touch()
    with published(tmp_path / "out.csv") as temporary:
        temporary.touch()
    assert {path.name for path in tmp_path.iterdir()} == {"out.csv", ".out.123", ".other.123.csv", ".out.x.csv"}
    with published_folder(tmp_path / "out") as temporary:
        temporary.mkdir()
    assert {path.name for path in tmp_path.iterdir()} == {"out.csv", "out", ".other.123.csv", ".out.x.csv"}


def test_a_folder_is_replaced_when_the_new_one_is_whole(tmp_path):
    out = tmp_path / "new" / "out"
    for text in ("old", "new"):
        with published_folder(out) as temporary:
            temporary.mkdir()
            (temporary / text).write_text(text)
    with pytest.raises(KeyboardInterrupt), published_folder(out) as temporary:
        temporary.mkdir()
        (temporary / "half").touch()
        raise KeyboardInterrupt
    assert [path.name for path in out.iterdir()] == ["new"]
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize("publish", [published, published_folder])
@pytest.mark.parametrize("there", ["x", "x/y", "x/y/out.json"])
def test_what_stands_in_the_way_is_one_line_and_stays(tmp_path, publish, there):
    """A file where a folder is to be, or a folder where a file is to be."""
    out, other = tmp_path / "x/y/out.json", tmp_path / there
    other.parent.mkdir(parents=True, exist_ok=True)
    if other == out and publish is published:
        (other / "kept").mkdir(parents=True)
    else:
        other.write_text("kept")
    before = sorted(tmp_path.rglob("*"))
    match = rf"^{re.escape(str(other))}: a (file|folder), and .*; move it away and run again$"
    with pytest.raises(InputError, match=match), publish(out):
        pytest.fail("begun")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "x"), OSError(errno.EDQUOT, "x"), Exception(f"I/O error: {os.strerror(errno.ENOSPC)}")],
)
def test_no_room_is_one_line_and_other_errors_pass(tmp_path, error):
    with (
        pytest.raises(InputError, match=rf"^{re.escape(str(tmp_path))}/out: the disk is full, .*run snakemake again"),
        room_for(tmp_path / "out"),
    ):
        raise error
    for other in (OSError(errno.EACCES, "x"), RuntimeError("x"), InputError("x")):
        with pytest.raises(type(other), match=r"x$"), room_for(tmp_path / "out"):
            raise other


@pytest.mark.parametrize("read", [read_parquet, read_csv, read_jsonl])
def test_what_cannot_be_read_is_one_line_that_names_it(tmp_path, read):
    path = tmp_path / "data"
    for make in (lambda: None, lambda: path.write_bytes(b"\xff\x00half"), lambda: path.write_bytes(b"")):
        make()
        with pytest.raises(InputError) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert len(str(caught.value).splitlines()) == 1


def test_columns_are_demanded(tmp_path):
    path = tmp_path / "data.parquet"
    pd.DataFrame({"a": [1]}).to_parquet(path)
    assert list(read_parquet(path, columns=("a",))["a"]) == [1]
    with pytest.raises(InputError, match="column 'b' is missing"):
        read_parquet(path, columns=("a", "b"))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[1]", "not a JSON object"),
        ('"a"', "not a JSON object"),
        ("", "not JSON (Expecting value"),
        ('{"a": "\\ud800"}', r"half a surrogate pair, '\ud800'"),
        ('{"a\\udfff": [{}]}', r"half a surrogate pair, '\udfff'"),
        ('{"a": "\ud800"}', r"half a surrogate pair, '\ud800'"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' * 100_000, "nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", "Exceeds the limit"),
    ],
)
def test_json_that_nothing_could_use_is_one_line(text, what):
    with pytest.raises(InputError) as caught:
        parse_json(text, "--spec", "repair it")
    message = str(caught.value)
    assert message.startswith(f"--spec: {what}")
    assert message.endswith("; repair it")
    assert message.isprintable()
    assert parse_json('{"a": "\\ud83d\\ude00"}', "") == {"a": "\N{GRINNING FACE}"}  # a whole pair


def test_a_damaged_parquet_file_is_one_line_whatever_is_damaged(tmp_path):
    """Also in its metadata, where pyarrow and pandas raise errors of many kinds."""
    path, random = tmp_path / "data", Random(0)
    pd.DataFrame({"a": ["x"] * 9, "b": range(9), "c": [[1]] * 9}).to_parquet(path)
    raw = path.read_bytes()
    json_at = raw.index(b'{"index_columns"')
    for number in range(200):
        damaged = bytearray(raw)
        place = random.randrange(json_at, json_at + 400) if number % 2 else random.randrange(len(raw))
        damaged[place] = random.randrange(256)
        path.write_bytes(damaged)
        with suppress(InputError):
            read_parquet(path)


def test_a_row_that_is_not_as_it_should_be_is_named(tmp_path):
    path = tmp_path / "data.parquet"
    pd.DataFrame({"y": ["a", None], "spec": ['{"a": 1}', '{"a": "\\ud800"}'], "z": ["", ""]}).to_parquet(path)
    read_parquet(path, texts=("z",))
    with pytest.raises(InputError, match=f"^{path}: row 2: y is nan, no text; delete it"):
        read_parquet(path, texts=("z", "y"))
    with pytest.raises(InputError, match=f"^{path}: row 2: spec: half a surrogate pair"):
        read_parquet(path, objects=("spec",))


@pytest.mark.parametrize("value", ["a lot", "1e999", "nan", "inf", "0,5", "1" + "0" * 400, "--"])
def test_a_number_that_is_none_is_named_with_its_row(tmp_path, value):
    path = tmp_path / "data.csv"
    path.write_text(f'# a comment\nn,label,value\n1,NA,0.5\n2,7,"{value}"\n3,,\n')
    with pytest.raises(InputError, match=rf"^{path}: row 2: value is '.*', no number; delete it"):
        read_csv(path, numbers=("n", "value"), comment="#")
    frame = read_csv(path, numbers=("n",), comment="#")
    assert list(frame["n"]) == [1, 2, 3]
    assert list(frame["label"])[:2] == ["NA", "7"]
    assert frame["label"].isna().tolist() == [False, False, True]


def test_other_bytes_in_a_text_of_a_parquet_file_are_found(tmp_path):
    """The file is whole as far as its structure goes: the pages' checksums tell."""
    path, frame = tmp_path / "data.parquet", pd.DataFrame({"y": ["It rained (2)."]})
    write_parquet(frame, path)
    assert read_parquet(path).equals(frame)
    path.write_bytes(path.read_bytes().replace(b"rained", b"snowed", 1))
    with pytest.raises(InputError, match=r"data\.parquet: not a whole Parquet file \(.*; delete it and run snakemake"):
        read_parquet(path)


def test_a_row_with_a_field_more_moves_no_number(tmp_path):
    """pandas would take the first column for names of rows, and the second for the first."""
    path = tmp_path / "table.csv"
    path.write_text("value,n\n1,2,3\n")
    with pytest.raises(InputError, match=r"table\.csv: not a whole CSV file \("):
        read_csv(path, ("value",), {"value"})
