"""config/schema.json is what the models give, takes config.yaml as it is, and names what is wrong."""

import json
import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from confessions.config.schema import schema

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "config.yaml").read_text()
KEPT = ROOT / "config/schema.json"
VALIDATOR = Draft202012Validator(schema())


def said(text: str) -> tuple[str, str] | None:
    """Where, and what the validator says of a configuration."""
    error = best_match(VALIDATOR.iter_errors(yaml.safe_load(text)))
    return error and (error.json_path, error.message)


def test_the_kept_file_is_what_the_models_give():
    Draft202012Validator.check_schema(schema())
    assert json.loads(KEPT.read_text()) == schema(), "confessions schema > config/schema.json"


def test_editors_find_it_from_the_first_line():
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", TEXT)[1]
    assert (ROOT / named).samefile(KEPT)


def test_config_yaml_fits_as_it_is():
    """With anchors, aliases and merged blocks."""
    assert {"&stage", "<<: *stage"} <= {*re.findall(r"&stage|<<: \*stage", TEXT)}
    assert said(TEXT) is None


@pytest.mark.parametrize(
    ("line", "wrong", "where", "what"),
    [
        ("experiment: demo", "experimnt: demo", "$", "('experimnt' was unexpected)"),
        ("    policy: nano\n", "    polcy: nano\n", "$.experiments.demo", "('polcy' was unexpected)"),
        ("      steps: 20", "      setps: 20", "$.experiments.demo.train", "('setps' was unexpected)"),
        ("      steps: 20", "      steps: 2.5", "$.experiments.demo.train.steps", "not of type 'integer'"),
        ("{rank: 16,", "{rank: 0,", "$.models['nano-sft'].source.lora.rank", "less than the minimum of 1"),
        ("{kind: nano, size: xs}", "{kind: nano, sze: xs}", "$.models['nano-xs'].source", "('sze' was unexpected)"),
        ("{kind: nano, size: xs}", "{kind: nan}", "$.models['nano-xs'].source.kind", "'nan' is not one of ['nano'"),
        ("base: nano-sft,", "bse: nano-sft,", "$.models['nano-dpo'].source", "('bse' was unexpected)"),
        ("  nano-xs:", "  nano xs:", "$.models", "'nano xs' does not match"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_where_it_stands(line, wrong, where, what):
    """Within merged blocks, in what may be null, and in blocks of one of several kinds."""
    place, message = said(TEXT.replace(line, wrong, 1))
    assert place == where
    assert what in message


def test_only_a_model_that_is_asked_needs_no_dtype():
    block = "models:\n  mine: {{label: Mine, source: {}}}\n"
    place, message = said(TEXT.replace("models:\n", block.format("{kind: nano}"), 1))
    assert (place, message) == ("$.models.mine", "'dtype' is a required property")
    assert said(TEXT.replace("models:\n", block.format("{kind: inspect, model: openai/x}"), 1)) is None


def test_the_page_of_the_folder_names_every_block():
    """What the workflow catalogue shows beside its usage."""
    page = (ROOT / "config/README.md").read_text()
    assert {*re.findall(r"^\| `(\w+)` \|", page, re.M)} == schema()["properties"].keys()
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["software-stack-deployment"]["conda"]
    assert usage["report"]
