"""The sandbox around programs: where it refuses to run any, what is a verdict and what is not, what it gives back."""

import os
import shutil
import threading
from pathlib import Path

import pytest
from machine import needs_sandbox
from typer.testing import CliRunner

from confessions.cli import app
from confessions.runtime.errors import InputError
from confessions.sandbox import Limits, Outcome, Program, Sandbox, pool, root
from confessions.sandbox.filter import bpf

pytestmark = needs_sandbox

SUM = "print(sum(map(int, input().split())))"


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    return Sandbox(Limits(cpu_seconds=1), workers=2)


def test_a_program_that_never_ends_costs_its_limit_once(monkeypatch):
    """Where its verdict is decided then: on other inputs it is not run. Another program beside it is."""
    starts, start = [], pool._start
    monkeypatch.setattr(pool, "_start", lambda *given: starts.append(given[1]) or start(*given))
    forever, sums = "given = input()\nwhile given == 'x': pass\nprint('y')", Program(SUM, ("1 2", "3 4"))
    for stops, statuses in ((True, ["ok", *["timeout"] * 12]), (False, ["ok", "timeout", *["ok"] * 11])):
        starts.clear()
        box = Sandbox(Limits(cpu_seconds=1, stop_at_timeout=stops), workers=2)
        ended, other = box.run([Program(forever, ("y", "x", *["z"] * 11)), sums])
        assert [outcome.status for outcome in ended] == statuses
        assert [outcome.stdout for outcome in other] == ["3\n", "7\n"]
        assert sum(outcome.cpu_seconds for outcome in ended) < 2.5  # of one input, by the kernel's ticks
        assert starts.count(forever) == 1 + (not stops)


def test_many_programs_leave_no_process_and_no_file(sandbox):
    """However they end: no child, zombie or not, no descriptor and no mapping is left of them."""
    sources = [SUM, "1 / 0", "import os\nos.abort()", "import os\nos.fork()", "print('x' * 10**6)", "open('f', 'w')"]

    def held() -> tuple[list[str], int]:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        return children, len(os.listdir("/proc/self/fd"))

    others, _ = held()  # of other tests in this process
    sandbox.run([Program(source, ("1 2",)) for source in sources])
    before = held()
    sandbox.run([Program(source, ("1 2", "3 4")) for source in sources * 20])
    assert held() == before
    assert before[0] == others


@pytest.fixture
def fresh():
    """Checks are made once a process; here each is made again."""
    caches = (pool.check, pool._command, pool._bpf)
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
        cached.cache_clear()


@pytest.mark.usefixtures("fresh")
def test_the_command_says_whether_this_machine_isolates(monkeypatch):
    result = CliRunner().invoke(app, ["sandbox-check"])
    assert (result.exit_code, result.output) == (0, "programs are run in isolation here\n")
    pool.check.cache_clear()
    monkeypatch.setattr("confessions.sandbox.filter.LIBRARY", "libnowhere.so")
    pool._bpf.cache_clear()
    result = CliRunner().invoke(app, ["sandbox-check"])
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert result.output.startswith("error: the sandbox needs libnowhere.so")


@pytest.mark.usefixtures("fresh")
def test_without_bubblewrap_nothing_runs(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InputError, match=r"bwrap is not here: install bubblewrap .*apt-get install bubblewrap"):
        Sandbox()


@pytest.mark.usefixtures("fresh")
def test_without_libseccomp_nothing_runs(monkeypatch):
    monkeypatch.setattr("confessions.sandbox.filter.LIBRARY", "libnowhere.so")
    with pytest.raises(InputError, match=r"needs libnowhere\.so, which is not here: install libseccomp"):
        Sandbox()


@pytest.mark.usefixtures("fresh")
def test_without_user_namespaces_nothing_runs(monkeypatch, tmp_path):
    """What bwrap says and does on a machine that forbids them."""
    bwrap = tmp_path / "bwrap"
    bwrap.write_text(
        "#!/bin/sh\necho 'bwrap: No permissions to create new namespace, likely because ...' >&2\nexit 1\n"
    )
    bwrap.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(bwrap))
    with pytest.raises(InputError, match=r"does not start.*No permissions to create new namespace.*user namespaces"):
        Sandbox()


@pytest.mark.usefixtures("fresh")
def test_a_filter_that_lets_everything_through_is_noticed(monkeypatch):
    """The probe looks at what a program can do, not at what was asked for."""
    allow_all = bytes.fromhex("060000000000ff7f")  # BPF_RET | BPF_K, SECCOMP_RET_ALLOW
    monkeypatch.setattr(pool, "_bpf", lambda: allow_all)
    monkeypatch.setattr(pool, "PROBE", pool.PROBE.replace('"start processes": os.fork,', ""))
    with pytest.raises(InputError, match=r"a program can .*open sockets, send signals"):
        Sandbox()


@pytest.mark.usefixtures("fresh")
def test_a_filter_that_the_kernel_refuses_runs_nothing(monkeypatch):
    monkeypatch.setattr(pool, "_bpf", lambda: bytes(8))
    with pytest.raises(InputError, match=r"no program is run without it \(the seccomp filter was refused\)"):
        Sandbox()


@pytest.mark.usefixtures("fresh")
def test_a_root_that_holds_too_much_is_noticed(monkeypatch):
    binds = (*root.binds(), "--ro-bind", str(pool.INSIDE), str(pool.INSIDE), "--proc", "/proc")
    monkeypatch.setattr(root, "binds", lambda: binds)
    with pytest.raises(
        InputError, match=r"does not (isolate here \(a program can see processes, see this package|start)"
    ):
        Sandbox()


@pytest.mark.usefixtures("fresh")
def test_something_that_isolates_nothing_is_noticed(monkeypatch, tmp_path):
    """A `bwrap` that only starts the command: never a silent fall-back."""
    fake = tmp_path / "bwrap"
    fake.write_text('#!/bin/sh\nwhile [ "$1" != -s ]; do python=$1; shift; done\nexec "$python" "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(fake))
    with pytest.raises(InputError, match=r"the sandbox does not (work|isolate) here"):
        Sandbox()


def test_a_sandbox_that_is_lost_twice_is_no_verdict(sandbox, monkeypatch):
    starts = []
    start = pool._start

    def losing(limits: Limits, source: str, inputs: tuple[str, ...]) -> list[Outcome]:
        starts.append(inputs)
        return [] if inputs[0] == "2" else start(limits, source, inputs)[:1]

    monkeypatch.setattr(pool, "_start", losing)
    [outcomes] = sandbox.run([Program("print(input())", ("1", "2", "3"))])
    assert [(o.status, o.stdout) for o in outcomes] == [("ok", "1\n"), ("not measured", ""), ("not measured", "")]
    assert [inputs[0] for inputs in starts] == ["1", "2", "2"]


def test_what_waited_beside_others_is_tried_once_more_alone(sandbox, monkeypatch):
    """And only that, once. Alone there is nobody to blame."""
    tried, first = [], {"a": "waited", "b": "ok", "c": "not measured", "d": "timeout"}

    def outcomes(limits: Limits, program: Program) -> list[Outcome]:
        tried.append(program.source)
        again = tried.count(program.source) > 1 and program.source == "c"
        return [pool._not_run("ok" if again else first[program.source])]

    monkeypatch.setattr(pool, "_outcomes", outcomes)
    found = sandbox.run([Program(source) for source in "abcd"])
    assert [o.status for [o] in found] == ["waited", "ok", "ok", "timeout"]
    assert sorted(tried) == ["a", "a", "b", "c", "c", "d"]
    tried.clear()
    assert [o.status for [o] in sandbox.run([Program("a")])] == ["waited"]
    assert tried == ["a"]


def test_a_run_that_gets_no_turn_is_not_asleep(monkeypatch, tmp_path):
    """Only interruptible sleep is the program's own doing: not R (wants to run), D (memory, disk), T (stopped)."""
    states = iter("RDTZS")
    monkeypatch.setattr(pool, "DEPTH", 0)
    monkeypatch.setattr(pool.Path, "read_text", lambda path: f"7 (a) b) {next(states)} 1 7")
    assert [pool._asleep(7) for _ in range(5)] == [False, False, False, False, True]


def test_a_machine_that_lists_no_processes_still_stops_what_sleeps(monkeypatch):
    """By the wall clock; that cannot tell why, and so it is no verdict."""
    monkeypatch.setattr(pool, "_asleep", lambda sandbox: False)
    sleeping = Program("import time\ntime.sleep(60)", ("1", "2"))
    assert [o.status for o in Sandbox(Limits(wall_seconds=0.3)).run([sleeping])[0]] == ["not measured"] * 2


def test_a_machine_too_busy_to_start_a_sandbox_is_no_verdict(monkeypatch):
    monkeypatch.setattr(pool, "STARTING_SECONDS", -100)
    monkeypatch.setattr(pool, "LOOK_SECONDS", 0.0)
    [[outcome]] = Sandbox(Limits(wall_seconds=1)).run([Program(SUM, ("1 2",))])
    assert outcome.status == "not measured"


def test_a_sandbox_that_does_not_start_is_no_verdict(sandbox, monkeypatch):
    monkeypatch.setattr(root, "interpreter", lambda: "/nowhere")
    monkeypatch.setattr(pool, "_command", pool._command.__wrapped__)
    with pytest.raises(InputError, match="the sandbox does not start, and no program is run without it"):
        sandbox.run([Program(SUM, ("1 2",))])


def test_programs_can_be_run_from_several_threads(sandbox):
    found = {}
    threads = [
        threading.Thread(target=lambda i=i: found.update({i: sandbox.run([Program(SUM, (f"{i} 1",))])}))
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {i: outcomes[0][0].stdout for i, outcomes in found.items()} == {i: f"{i + 1}\n" for i in range(4)}


def test_descriptors_are_given_back(sandbox):
    sandbox.run([Program(SUM, ("1 2",))])
    before = len(os.listdir("/proc/self/fd"))
    sandbox.run([Program("while True: print('x')", ("1", "2", "3"))] * 3)
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_filter_is_the_same_every_time():
    assert bpf() == bpf()
    assert len(bpf()) % 8 == 0
