"""Files are published whole or not at all."""

import errno
import os
import re

import pandas as pd
import pytest

from confessions.errors import InputError
from confessions.files import published, published_folder, read_csv, read_jsonl, read_parquet, room_for


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
