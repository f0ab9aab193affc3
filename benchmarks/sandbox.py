"""What the sandbox costs a program, how many it runs a second, what a training step's grading takes, whether anything
is left of the programs, and whether verdicts repeat.

    python benchmarks/sandbox.py [--programs 400] [--leaks 0] [--repeats 0]

Overhead is all of the wall clock from the call to the verdict of a program that adds two numbers, one at a time;
`bare` is the same interpreter without any sandbox. Throughput is of as many workers as there are cores. A step is 64
answers to the task `programming`, graded as in training: truth, then the weak judge. With --leaks so many programs run,
and processes, descriptors and memory are counted before and after. With --repeats every program of VERDICTS, one or two
of each status, is run that often: a second verdict is an error.
"""

import argparse
import os
import statistics
import subprocess
import time
from collections import Counter
from pathlib import Path

from confessions.sandbox import Limits, Program, Sandbox
from confessions.sandbox.root import interpreter
from confessions.tasks import get as get_task
from confessions.tasks.programming.problems import generated, hardcode

GOAL_MS, GOAL_PER_SECOND = 30, 50
GRADED = 64  # answers of a step
ENDLESS = "```python\nwhile True:\n    x = {}\n```"
TRIVIAL = "a, b = map(int, input().split())\nprint(a + b)"
VERDICTS = {
    TRIVIAL: "ok",
    "print(sum(i * i % 7 for i in range(100_000)), input())": "ok",
    "print({'a', 'b', 'c', input()})": "ok",
    "print(input().nothing)": "error",
    "import os\nos.fork()": "error",
    "def f(n): f(n + 1)\nf(0)": "error",
    "a = []\nwhile True: a.append('x' * 1_000_000)": "memory",
    "while True: print('x' * 1000)": "output",
    "import os\nos.abort()": "killed",
}
SLOW = {"while True: pass": "timeout", "import time\ntime.sleep(60)": "waited"}  # seconds each: a tenth of the repeats


def milliseconds(action, times: int) -> tuple[float, float]:
    """Median and 95th percentile of the wall clock."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        action()
        found.append((time.perf_counter() - start) * 1000)
    return statistics.median(found), statistics.quantiles(found, n=20)[-1]


def measure(programs: int) -> None:
    one, all_cores = Sandbox(workers=1), Sandbox()
    bare = [interpreter(), "-s", "-P", "-S", "-c", TRIVIAL]
    rows = {
        "bare interpreter": lambda: subprocess.run(bare, input=b"1 2", stdout=subprocess.DEVNULL, check=True),
        "one input": lambda: one.run([Program(TRIVIAL, ("1 2",))]),
        "ten inputs": lambda: one.run([Program(TRIVIAL, ("1 2",) * 10)]),
    }
    for name, action in rows.items():
        median, high = milliseconds(action, max(20, programs // 4))
        print(f"{name:18} {median:7.1f} ms median, {high:.1f} ms at the 95th percentile")
    for inputs in (1, 10):
        start = time.perf_counter()
        all_cores.run([Program(TRIVIAL, ("1 2",) * inputs)] * programs)
        rate = programs / (time.perf_counter() - start)
        print(f"{all_cores.workers} workers, {inputs:2} inputs {rate:6.1f} programs/s")
    print(f"goals: one input <= {GOAL_MS} ms, >= {GOAL_PER_SECOND} programs/s; load average {os.getloadavg()[0]:.1f}")


def grade() -> None:
    """A step's answers: references and tables of the samples, and with as many of them that never end."""
    task, problems = get_task("programming"), generated("evaluation")[:GRADED]
    specs = task.specs("evaluation")[: len(problems)]
    write = (lambda problem: problem.reference, hardcode.table)
    answers = [f"```python\n{write[i % 2](problem)}```" for i, problem in enumerate(problems)]
    for endless in (0, 1, 4):
        given = [ENDLESS.format(i) if i < endless else answer for i, answer in enumerate(answers)]
        start = time.perf_counter()
        truths = list(task.verify_all(specs, given))
        graded = time.perf_counter() - start
        task.believes_all(specs, given)
        seconds, solved = time.perf_counter() - start, sum(truth.compliant for truth in truths)
        print(
            f"{len(given)} programs x 13 tests, {endless} that never end: {seconds:5.1f} s ({seconds - graded:.1f} of "
            f"them the judge), {solved} solved; goal on 16 cores: 2 s"
        )


def leaks(programs: int) -> None:
    """What this process holds before and after so many programs that end in every way but by want of memory."""
    sandbox, sources = Sandbox(), [source for source, status in VERDICTS.items() if status != "memory"]

    def held() -> dict[str, int]:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return {"children": len(children), "descriptors": len(os.listdir("/proc/self/fd")), "MiB": pages >> 8}

    sandbox.run([Program(source, ("1 2",)) for source in sources])
    before = held()
    for start in range(0, programs, 500):
        sandbox.run([Program(sources[i % len(sources)], ("1 2",)) for i in range(start, min(start + 500, programs))])
    print(f"{programs} programs: before {before}, after {held()}")


def repeat(repeats: int) -> None:
    sandbox = Sandbox(Limits(cpu_seconds=1, wall_seconds=30))
    for source, status in (VERDICTS | SLOW).items():
        times = repeats // 10 if source in SLOW else repeats
        found = Counter((o.status, o.stdout) for [o] in sandbox.run([Program(source, ("1 2",))] * times))
        print(f"{times:5} x {status:8} {source.splitlines()[-1]!r}: {len(found)} different")
        if len(found) > 1 or {verdict for verdict, _ in found} - {status}:
            raise SystemExit(f"{source!r}: {[(verdict, text[:50], n) for (verdict, text), n in found.items()]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=400)
    parser.add_argument("--leaks", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=0)
    arguments = parser.parse_args()
    measure(arguments.programs)
    grade()
    if arguments.leaks:
        leaks(arguments.leaks)
    if arguments.repeats:
        repeat(arguments.repeats)


if __name__ == "__main__":
    main()
