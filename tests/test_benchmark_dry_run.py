"""benchmarks/dry_run.py: a thousand cells are planned in seconds of CPU of the machine whose units are counted."""

import json
import os
import subprocess
import sys
from pathlib import Path

from machine import unit

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
# In a process of its own: Linux counts what the process that starts another holds among the other's memory.
MEASURE = "import json, dry_run; print(json.dumps(dry_run.measure()._asdict()))"


def test_a_thousand_cells_are_planned_in_time():
    before = unit()
    path = os.pathsep.join([str(BENCHMARKS), *filter(None, sys.path)])
    run = subprocess.run(
        [sys.executable, "-c", MEASURE],
        env=os.environ | {"PYTHONPATH": path},
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(run.stdout)
    assert found["cells"] == 1000
    assert found["jobs"] > 20 + 19  # trainings and rollouts of the models
    assert found["cpu_seconds"] / max(before, unit()) <= 230  # 15 s
    assert found["gibibytes"] <= 1
