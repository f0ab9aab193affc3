"""The pages of docs/results hold what their data files say."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_numbers_of_the_pages_come_from_the_data_files():
    run = subprocess.run(
        [sys.executable, ROOT / "docs/results/render.py", "--check"], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")
