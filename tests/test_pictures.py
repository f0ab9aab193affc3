"""The pictures that docs/pictures draws hold what they are drawn from."""

import importlib.util
import json
from pathlib import Path

import pytest
from PIL import Image

PICTURES = Path(__file__).parent.parent / "docs/pictures"


def test_the_picture_of_the_workflow_has_its_rules():
    pytest.importorskip("inspect_ai", reason="the picture has the rule that writes its logs")
    spec = importlib.util.spec_from_file_location("dag", PICTURES / "dag.py")
    dag = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(dag)
    drawn = [tuple(pair) for pair in json.loads(Image.open(PICTURES / "dag.png").text["Description"])]
    assert drawn == dag.edges(), "the workflow has other rules now: python docs/pictures/dag.py"
    placed = {rule for column in dag.heights(drawn) for rule in column}
    assert placed == {rule for pair in drawn for rule in pair}
