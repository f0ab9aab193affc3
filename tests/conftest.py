"""How all tests run. The models that they share are in made_models.py."""

import os

# Results must not depend on a GPU that happens to be there. Tests that are about one are run with the variable set.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported: no test may reach for the network
if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes, a core for each; read when torch is imported
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings
from parallel import *  # noqa: F403 - pytest finds its hooks here

settings.register_profile("shared machine", deadline=None)  # how long one example takes is the machine's affair
settings.load_profile("shared machine")


def pytest_configure(config: pytest.Config) -> None:
    """Fixtures that want torch, which a process that only tells others what to run can do without."""
    if config.getoption("dist", "no") == "no" or hasattr(config, "workerinput"):
        config.pluginmanager.import_plugin("made_models")
