"""A Slurm of two nodes on this machine, out of Debian's packages, for tests: `with Cluster(folder): ...`.

munged, slurmctld and two slurmd run as root in a folder that is thrown away; each node has one GPU that is none
(/dev/null), so that requests for GPUs are scheduled as on a real cluster. Without accounting: squeue, not sacct.
`python tests/slurm_cluster.py` starts one and keeps it until Ctrl-C.
"""

import contextlib
import itertools
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

import psutil

PACKAGES = ("munge", "slurmctld", "slurmd", "slurm-client")
# Commands find it here and nowhere else: Snakemake's job step takes SLURM_CONF out of the environment of its srun.
CONF = Path("/etc/slurm/slurm.conf")
NODES = ("node1", "node2")
SETTINGS = """
ClusterName=made
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
ReturnToService=2
SlurmdTimeout=10
MinJobAge=3600
SchedulerParameters=sched_interval=3,bf_interval=3
KillWait=2
PartitionName=gpus Nodes=ALL Default=YES State=UP
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=4 RealMemory=200000 Gres=gpu:made:1
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=4 RealMemory=200000 Gres=gpu:made:1
"""


def obstacle() -> str | None:
    """Why no cluster can be started here; None: it can, once install() has run."""
    if os.geteuid() != 0:
        return "a Slurm cluster is started by root"
    if not all(shutil.which(program) for program in ("munged", "slurmctld", "slurmd", "sbatch")):
        return f"Slurm is not installed: apt-get install {' '.join(PACKAGES)}"
    if CONF.exists() and not CONF.is_symlink():
        return f"{CONF} exists: this machine belongs to a Slurm cluster"
    return None


class Cluster:
    """Runs while the block does. Raises RuntimeError, with the logs' ends, where a daemon does not come up."""

    def __init__(self, folder: Path):
        self.folder, self.processes = folder, {}

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "state").mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        conf = self.folder / "slurm.conf"
        conf.write_text(SETTINGS.format(host=socket.gethostname(), folder=self.folder, ports=_free_ports(3)))
        (self.folder / "gres.conf").write_text("Name=gpu Type=made File=/dev/null\n")
        CONF.unlink(missing_ok=True)  # what a killed test left; obstacle() has seen that it is ours
        CONF.parent.mkdir(exist_ok=True)
        CONF.symlink_to(conf)
        try:
            socket_file = self.folder / "munge.socket"
            self._start(
                "munged", "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={socket_file}",
                *(f"--{name}-file={self.folder}/munge.{name}" for name in ("pid", "log", "seed")),
            )  # fmt: skip
            self._wait(socket_file.exists, "munged")
            self._start("slurmctld", "slurmctld", "-D", "-f", conf)
            for node in NODES:
                self.start_node(node)
            self._wait(lambda: self.states() == dict.fromkeys(NODES, "idle"), "the nodes")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if "slurmctld" in self.processes:
            subprocess.run(["scancel", "--signal=KILL", "--full", "--user=root"], capture_output=True, check=False)
        for process in reversed(self.processes.values()):
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        CONF.unlink(missing_ok=True)

    def start_node(self, node: str) -> None:
        self._start(node, "slurmd", "-D", "-N", node, "-f", self.folder / "slurm.conf")

    def kill_node(self, node: str) -> None:
        """As a power cut does: the daemon and all that it runs, at once."""
        jobs = {job["id"] for job in self.jobs() if job["node"] == node}
        self.processes[node].kill()
        self.processes[node].wait()
        own = [
            process
            for process in psutil.process_iter(["environ", "ppid"])
            if (process.info["environ"] or {}).get("SLURM_JOB_ID") in jobs
            and process.info["environ"].get("SLURM_CLUSTER_NAME") == "made"
        ]
        parents = {process.info["ppid"] for process in own}
        steps = [process for process in psutil.process_iter(["name"]) if process.info["name"] == "slurmstepd"]
        for process in [*own, *(step for step in steps if step.pid in parents)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def states(self) -> dict[str, str]:
        """State of each node, as sinfo says it."""
        lines = self.run("sinfo", "--Node", "--noheader", "--format=%N %T").split("\n")
        return dict(line.split() for line in lines if line)

    def jobs(self) -> list[dict[str, str]]:
        """Every job that slurmctld still knows, the oldest first; `comment` names its rule or its group's rules."""
        names = {"JobID": 9, "State": 12, "RestartCnt": 4, "tres-per-job": 20, "NodeList": 9, "Comment": 90}
        keys = ("id", "state", "restarts", "gpus", "node", "comment")
        form = ",".join(f"{name}:{width}" for name, width in names.items())
        lines = self.run("squeue", "--states=all", "--noheader", "--sort=i", f"--Format={form}").splitlines()
        edges = [sum(list(names.values())[:n]) for n in range(len(names) + 1)]
        cells = [[line[a:b].strip() for a, b in itertools.pairwise(edges)] for line in lines]
        return [dict(zip(keys, row, strict=True)) for row in cells]

    @staticmethod
    def run(*command: str) -> str:
        """What a Slurm command prints; empty where the controller does not answer yet."""
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def _start(self, name: str, *command: str | Path) -> None:
        with (self.folder / f"{name}.out").open("a") as out:
            self.processes[name] = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)

    def _wait(self, condition, what: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not condition():
            ended = [name for name, process in self.processes.items() if process.poll() is not None]
            if ended or time.monotonic() > end:
                tails = {path.name: path.read_text()[-800:] for path in sorted(self.folder.glob("*.out"))}
                raise RuntimeError(f"{what} did not come up in {seconds} s; ended: {ended}; {tails}")
            time.sleep(0.2)


def _free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


if __name__ == "__main__":
    if obstacle():
        sys.exit(obstacle())
    with tempfile.TemporaryDirectory() as temporary, Cluster(Path(temporary) / "slurm") as cluster:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        print(cluster.states(), "Ctrl-C ends it", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
