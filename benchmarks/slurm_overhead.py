"""What a job costs on Slurm beside its own command, as root on this machine: `python benchmarks/slurm_overhead.py`.

A cluster of two nodes (tests/slurm_cluster.py) runs jobs of one rule whose command notes the time and ends, through the
settings of slurm/config.yaml. A line a job: from submission to its start, from there to its command, from there to its
end; then how long Snakemake took for all of them.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from slurm_cluster import Cluster, obstacle  # noqa: E402

RULES = """
rule all:
    input: expand("{{n}}.txt", n=range({jobs}))

rule note:
    output: "{{n}}.txt"
    resources: mem_mb=100, runtime=5
    shell: "date +%s > {{output}}"
"""


def seconds(text: str) -> float:
    """Slurm's local time as Unix time, to the second."""
    return datetime.fromisoformat(text).timestamp()


def measure(jobs: int, folder: Path) -> tuple[list[tuple[float, float, float]], float]:
    """(waiting, start-up, end) of each job, and the whole run, in seconds."""
    (folder / "Snakefile").write_text(RULES.format(jobs=jobs))
    with Cluster(folder / "cluster") as cluster:
        start = time.monotonic()
        command = [sys.executable, "-m", "snakemake", "--executor", "slurm", "--jobs", "20", "--latency-wait", "60"]
        command += ["--slurm-status-command", "squeue"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        whole, rows = time.monotonic() - start, []
        for line in cluster.run("scontrol", "show", "job", "--oneliner").splitlines():
            job = dict(pair.split("=", 1) for pair in line.split() if "=" in pair)
            submitted, started, ended = (seconds(job[name]) for name in ("SubmitTime", "StartTime", "EndTime"))
            noted = int((folder / f"{job['Comment'].rsplit('_', 1)[1]}.txt").read_text())
            rows.append((started - submitted, noted - started, ended - noted))
    return rows, whole


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=6)
    chosen = parser.parse_args()
    if obstacle():
        sys.exit(obstacle())
    with tempfile.TemporaryDirectory() as temporary:
        found, total = measure(chosen.jobs, Path(temporary))
    for waiting, starting, ending in found:
        print(f"waiting {waiting:.0f} s, start-up {starting:.0f} s, end {ending:.0f} s")
    print(f"{chosen.jobs} jobs: {total:.0f} s")
