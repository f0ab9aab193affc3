"""benchmarks/dry_run.py: a thousand cells are planned in seconds of CPU (other jobs may want the same cores)."""

from pathlib import Path

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def test_a_thousand_cells_are_planned_in_time(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import dry_run

    found = dry_run.measure()
    assert found.cells == 1000
    assert found.jobs > 20 + 19  # trainings and rollouts of the models
    assert found.cpu_seconds <= 15
    assert found.gibibytes <= 1
