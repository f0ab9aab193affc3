"""The examples of docs/use_it_with.md."""

from pathlib import Path

from confessions.config import load
from confessions.pipeline.subjects import subjects

ROOT = Path(__file__).parents[2]


def test_the_model_without_training_is_asked_in_every_condition_and_variant(tmp_path):
    text = (ROOT / "docs/use_it_with.md").read_text().split("```yaml\n")[1].split("```")[0]
    (tmp_path / "mine.yaml").write_text(text)
    (tmp_path / "chosen.yaml").write_text("experiment: mine\n")
    config = load(ROOT / "config.yaml", tmp_path / "mine.yaml", tmp_path / "chosen.yaml")
    (mine,) = subjects(config)
    assert (mine.kind, mine.base, mine.rollouts) == ("model", "mine", "results/mine/models/mine/rollouts.parquet")
    assert mine.cells.conditions == ["baseline", "awareness", "jailbreak"]
    assert mine.cells.variants == ["default", "forced_count"]
    assert mine.labels["model"] == "Mine"
