"""`snakemake --profile slurm all` on a real Slurm (slurm_cluster.py): what is submitted, and what clusters do to jobs.

The reproduction runs with test_workflow's stand-ins for its stages: its GPU requests are what is looked at. The demo
runs for real, small, and its results must be those of a run that nothing happened to. `make test-slurm` runs both.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pandas as pd
import pytest
import yaml
from safetensors.torch import load_file
from slurm_cluster import Cluster, obstacle
from test_workflow import CONFIG, copy_workflow, write_stand_ins

pytestmark = pytest.mark.slurm

# What a site uncomments in slurm/config.yaml, with the value for this cluster.
SITE = {"slurm_partition": "gpus", "gpu_model": "made", "slurm-status-command": "squeue"}
# Two of the reproduction's models on each axis would do; the policy is one of them.
FEWER = {"scale": ["qwen3-1.7b", "qwen3-8b"], "ladder": ["olmo-3-7b-instruct"]}
TURNS = {"max_task_tokens": 120, "max_confession_tokens": 160}
SMALL = {
    "policy": "nano-xs",
    "train": TURNS
    | {"steps": 20, "prompts_per_step": 2, "generations": 4, "micro_batch": 8, "checkpoint_fractions": [0, 0.5, 1]},
    "evaluation": TURNS | {"conditions": ["baseline", "hard"], "variants": ["default"], "rollouts": 8},
    "survey": {"rollouts": 8},
    "scale": ["nano-xs", "nano-s"],
    "ladder": [],
}
TABLES = [f"results/tables/{name}.csv" for name in ("reproduction", "training", "scale")]
# The embedded model asks for no GPU; here one, so that jobs wait for each other's. One thread: two cores, several jobs.
ONE_GPU = [f"{rule}:gpu=1" for rule in ("train_policy", "sample_policy", "sample_model")]
OPTIONS = [
    *("--config", "experiment=demo", "--set-resources", *ONE_GPU),
    *("--set-threads", "train_policy=1", "sample_policy=1"),
]
PATIENCE = 600  # seconds, for each thing that is waited for: other jobs may want the same cores
# How the jobs' comments begin.
TRAINING, POLICY, MODEL, CHECK = "rule_train_policy", "rule_policy_", "rule_model_", "rule_judge_"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    if obstacle():
        pytest.skip(obstacle())
    with Cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


def clone(folder: Path, experiments: dict) -> Path:
    """The repository's workflow with the lines that a site edits, and experiments made smaller."""
    copy_workflow(folder)
    config = CONFIG | {"experiments": {name: _over(CONFIG["experiments"][name], e) for name, e in experiments.items()}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config | {"experiment": next(iter(experiments))}))
    profile = folder / "slurm/config.yaml"
    text = profile.read_text()
    for key, value in SITE.items():
        text, found = re.subn(rf"^( *)# {key}: \S+", rf"\g<1>{key}: {value}", text, flags=re.MULTILINE)
        assert found == 1, key
    profile.write_text(text)
    return folder


def _over(block: dict, changes: dict) -> dict:
    new = {key: _over(block[key], value) if isinstance(value, dict) else value for key, value in changes.items()}
    return block | new


@pytest.fixture
def snakemake() -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts one in a folder, in the background; what it says goes to folder/out, after what was said before."""
    started = []

    def start(folder: Path, *options: str, path: Path | None = None) -> subprocess.Popen:
        environment = os.environ | ({"PYTHONPATH": str(path)} if path else {})
        with (folder / "out").open("a") as out:
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", "snakemake", *options], cwd=folder, env=environment, stdout=out, stderr=out
                )
            )
        return started[-1]

    yield start
    for process in started:
        process.kill()


def finish(process: subprocess.Popen, folder: Path) -> None:
    assert process.wait(PATIENCE) == 0, (folder / "out").read_text()[-6000:]


def eventually(what: Callable, folder: Path):
    """The first true value of `what()`."""
    end = time.monotonic() + PATIENCE
    while not (value := what()):
        assert time.monotonic() < end, (folder / "out").read_text()[-6000:]
        time.sleep(0.2)
    return value


def running(cluster: Cluster, rule: str, besides: Collection[str] = ()) -> dict | None:
    """A job of a rule or group that runs now and is none of `besides`, if there is one."""
    found = [job for job in cluster.jobs() if job["comment"].startswith(rule) and job["state"] == "RUNNING"]
    return next((job for job in found if job["id"] not in besides), None)


def test_the_reproduction_as_typed(cluster, snakemake, tmp_path):
    folder = clone(tmp_path, {"reproduction": FEWER})
    stand_ins = write_stand_ins(tmp_path)
    fast = ["--slurm-init-seconds-before-status-checks", "2"]
    finish(snakemake(folder, "--profile", "slurm", "all", *fast, path=stand_ins), folder)
    assert (folder / "results/figures/reproduction.png").exists()
    submitted = cluster.jobs()
    assert len(submitted) == 5  # training, the policy's rollouts and scores, two models' of the axes, the judge's check
    assert {job["state"] for job in submitted} == {"COMPLETED"}
    assert {job["gpus"] for job in submitted} == {"gres:gpu:made:1"}
    rules = (TRAINING, POLICY, MODEL, CHECK)
    by_rule = [next(rule for rule in rules if job["comment"].startswith(rule)) for job in submitted]
    assert sorted(by_rule) == sorted([CHECK, MODEL, MODEL, POLICY, TRAINING])


def metrics(folder: Path) -> list[str]:
    """Whole lines of the metrics of the run that goes on in the working folder."""
    return [line for file in folder.glob("results/demo/seed0/work/*/metrics.jsonl") for line in file.open()]


def untimed(table: Path) -> pd.DataFrame:
    """A table without how long the steps took."""
    return pd.read_csv(table).query("metric != 'seconds'")


def test_results_are_the_same_whatever_happens_to_the_jobs(cluster, snakemake, tmp_path):
    quiet, folder = (clone(tmp_path / name, {"demo": SMALL}) for name in ("quiet", "cluster"))
    submit = ["--profile", "slurm", *TABLES, *OPTIONS, "--slurm-init-seconds-before-status-checks", "1"]

    # Training is cancelled behind its first checkpoint, and tried again.
    first = snakemake(folder, *submit)
    cancelled = eventually(lambda: running(cluster, TRAINING), folder)["id"]
    eventually(lambda: len(metrics(folder)) > 6, folder)
    cluster.run("scancel", cancelled)
    eventually(lambda: running(cluster, TRAINING, [cancelled]), folder)

    # Snakemake is killed; its job trains on. The next Snakemake submits the training again: they must not mix.
    first.kill()
    first.wait()
    finish(snakemake(folder, *submit, "--unlock"), folder)
    before = {job["id"] for job in cluster.jobs()}
    second = snakemake(folder, *submit)

    # The second training is put back into the queue.
    back = eventually(lambda: running(cluster, TRAINING, before), folder)["id"]
    cluster.run("scontrol", "requeue", back)

    # A node goes down with the policy's rollouts, and comes up again.
    lost = eventually(lambda: running(cluster, POLICY), folder)
    eventually((folder / "results/demo/logs/rollouts.log").exists, folder)  # else its launch fails, and not the node
    cluster.kill_node(lost["node"])
    eventually(lambda: any(j["id"] == lost["id"] and j["restarts"] == "1" for j in cluster.jobs()), folder)
    cluster.start_node(lost["node"])
    finish(second, folder)
    jobs = {job["id"]: job for job in cluster.jobs()}
    assert jobs[cancelled]["state"] == "CANCELLED"
    for job in (back, lost["id"]):
        assert (jobs[job]["state"], jobs[job]["restarts"]) == ("COMPLETED", "1")

    # The same on this machine, with nothing in the way.
    finish(snakemake(quiet, *TABLES, *OPTIONS[:2], *OPTIONS[-3:], "--cores", "1"), quiet)
    for table in TABLES:
        pd.testing.assert_frame_equal(untimed(folder / table), untimed(quiet / table))
    for run in ("results/demo/seed0/rollouts", "results/demo/models/nano-s", "results/demo/survey"):
        for file in sorted((quiet / run).glob("*.parquet")):
            pd.testing.assert_frame_equal(pd.read_parquet(folder / run / file.name), pd.read_parquet(file))
    adapters = "results/demo/seed0/train/adapters"
    for file in sorted((quiet / adapters).rglob("*.safetensors")):
        ours, theirs = load_file(folder / file.relative_to(quiet)), load_file(file)
        assert ours.keys() == theirs.keys()
        assert all((ours[name] == theirs[name]).all() for name in ours), file
    rows, expected = (
        [json.loads(line) for line in (at / "results/demo/seed0/train/metrics.jsonl").open()] for at in (folder, quiet)
    )
    clock = {"seconds": 0, "timeline": {}}  # what differs from run to run
    assert [row | clock for row in rows] == [row | clock for row in expected]
