"""Snakemake as a command, without its start: to import it takes longer than a dry run. One process imports it and is
copied (os.fork) for each run; nothing of this package is imported there, for a run may lay stand-ins over it."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

COPIES = """
import json, os, sys
import pydantic, smart_open  # what a run would import later
from snakemake import cli

cli.get_argument_parser()  # imports plugins
for line in sys.stdin:
    asked = json.loads(line)
    if child := os.fork():
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    for stream, place in ((0, os.devnull), (1, asked["said"])):
        os.dup2(os.open(place, os.O_RDWR), stream)
    os.dup2(1, 2)
    sys.path[:1] = [asked["folder"], *asked["environment"]["PYTHONPATH"].split(os.pathsep)]
    sys.argv = ["snakemake", *asked["options"]]
    cli.main()
"""


@cache
def _copies() -> subprocess.Popen[str]:
    """The process that is copied; it ends with this one, whose pipe it reads."""
    plain = [sys.executable, "-c", COPIES]
    return subprocess.Popen(plain, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def run(folder: Path, options: tuple[str, ...], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """`python -m snakemake OPTIONS` in a folder; stdout holds stderr too. The environment has a PYTHONPATH."""
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as said:
        asked = {"folder": str(folder), "options": options, "environment": dict(environment), "said": said.name}
        print(json.dumps(asked), file=_copies().stdin, flush=True)
        code = int(_copies().stdout.readline())
        return subprocess.CompletedProcess(["snakemake", *options], code, said.read())
