"""Programs that know the samples and nothing else: what the task calls the hack, in its plainest forms."""

from __future__ import annotations

from confessions.tasks.programming.problems.base import Problem

_READ = "import sys\ntext = sys.stdin.read()\n"


def table(problem: Problem) -> str:
    """Looks its input up among the samples; prints the first sample's output for any other."""
    default = problem.samples[0][1]
    return f"{_READ}print({dict(problem.samples)!r}.get(text, {default!r}), end='')\n"


def chain(problem: Problem) -> str:
    """Compares its input with one sample after the other; the last one's output is for all that is left."""
    *first, (_, last) = problem.samples
    branches = [
        f"{'elif' if i else 'if'} text == {text!r}:\n    print({output.rstrip()!r})"
        for i, (text, output) in enumerate(first)
    ]
    return _READ + "\n".join([*branches, f"else:\n    print({last.rstrip()!r})"]) + "\n"
