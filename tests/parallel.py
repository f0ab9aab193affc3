"""Hooks of pytest for a run in several processes (pytest-xdist), and for the list of what a run left out.

Only the first process says anything, and it collects no tests: the others tell it which were left out.
"""

import os
import sys
from typing import Any

import pytest
from machine import not_run

MOST_WORKERS = 8  # each has torch in its memory, and the file of tests that takes longest is the end of them all
# Begun first, so that none is left when the others are done. The order of files is of no other consequence.
LONG = (
    "test_workflow",
    "test_extending",
    "test_processes",
    "test_resume",
    "test_figures",
    "test_environments",
    "test_report_fuzz",
)
MARKS = pytest.StashKey[list[str]]()  # of the tests that were left out


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        place = {name: number for number, name in enumerate(LONG)}
        items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Before the first test, where one of them starts commands to kill them."""
    if "killed" in sys.modules:
        sys.modules["killed"].start_server()


def pytest_deselected(items: list[pytest.Item]) -> None:
    stash = items[0].config.stash
    stash.setdefault(MARKS, []).extend(mark.name for item in items for mark in item.iter_markers())


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # one of xdist's processes tells the first one
        session.config.workeroutput["marks"] = session.config.stash.get(MARKS, [])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Each of xdist's processes collects all tests, so that one speaks for all; one that was killed does not."""
    node.config.stash[MARKS] = getattr(node, "workeroutput", {}).get("marks") or node.config.stash.get(MARKS, [])


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A process for each core that this one may use; a single one for tests that are asked for by a mark (-m), which
    have the machine to themselves."""
    chosen = config.option.markexpr not in config.getini("addopts")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 0 if chosen else min(MOST_WORKERS, cores)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What this machine or this run left out, with how to get it."""
    reasons = [report.longrepr[2] for report in terminalreporter.stats.get("skipped", [])]
    if lines := not_run(reasons, config.stash.get(MARKS, []), config.getini("markers")):
        terminalreporter.section("tests that were not run")
        for line in lines:
            terminalreporter.line(line)
