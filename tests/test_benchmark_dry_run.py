"""benchmarks/dry_run.py: a thousand cells are planned in seconds of CPU of the machine whose units are counted."""

from pathlib import Path

from machine import unit

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def test_a_thousand_cells_are_planned_in_time(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import dry_run

    before = unit()
    found = dry_run.measure()
    assert found.cells == 1000
    assert found.jobs > 20 + 19  # trainings and rollouts of the models
    assert found.cpu_seconds / max(before, unit()) <= 230  # 15 s
    assert found.gibibytes <= 1
