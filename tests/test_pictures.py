"""The pictures that docs/pictures draws hold what they are drawn from."""

import importlib.util
import json
from pathlib import Path

import pytest
from PIL import Image, ImageChops

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


@pytest.mark.parametrize("name", ["countdown", "real_model"])
def test_a_picture_of_results_is_the_one_that_its_data_draw(name, tmp_path):
    """Pixel for pixel where the fonts are the same; here its size and nearly all of it."""
    spec = importlib.util.spec_from_file_location(name, PICTURES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.draw(tmp_path / "drawn.png")
    drawn, kept = (Image.open(path).convert("L") for path in (tmp_path / "drawn.png", PICTURES / f"{name}.png"))
    assert drawn.size == kept.size
    differing = sum(ImageChops.difference(drawn, kept).point(lambda value: value > 64).histogram()[1:])
    assert differing < 0.01 * drawn.width * drawn.height, f"its data have changed: python docs/pictures/{name}.py"
