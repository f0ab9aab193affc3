"""Results of the demo as far as `confessions site` reads them: made tables, one picture for every figure, two logs."""

from importlib.util import find_spec
from pathlib import Path

from made_rollouts import rollout_frame, write_files
from PIL import Image

from confessions.analysis import catalogue
from confessions.config import Config, load
from confessions.pipeline import paths
from confessions.pipeline.inspect_logs import write_logs

ROOT = Path(__file__).parent.parent
TABLE = "model,value\nnano,0.25\nother,0.5\n"


def made_results(folder: Path) -> Config:
    """Into `folder`, which has to be the current one; the logs where Inspect is installed."""
    config = load(ROOT / "config.yaml").model_copy(update={"experiment": "demo"})
    tables, figures = catalogue.of(config)
    results = folder / paths.results_folder(config)
    for kind in ("tables", "figures"):
        (results / kind).mkdir(parents=True)
    for name in tables:
        (results / f"tables/{name}.csv").write_text(TABLE)
    for name in figures:
        Image.new("RGB", (1200, 300), "white").save(results / f"figures/{name}.png")
    if find_spec("inspect_ai"):
        write_logs(*write_files(folder, rollout_frame()), results / "logs", {"experiment": "demo"}, "demo-step20")
    return config
