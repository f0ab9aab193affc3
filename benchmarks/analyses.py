"""Seconds that every analysis of a model's text takes on the worst texts that we found.

    python benchmarks/analyses.py [--characters 1000000]

For each analysis the worst of TEXTS at that length and at half of it. What is over a cap is not analysed, and says so:
the caps are tasks.programming.LONGEST, tasks._hardcoding.LONGEST, tasks._enumeration.WORK, hacks.base.LONGEST_TEXT and
hacks.structure.COMPARED. Goal: 1 MB in less than a second. What takes longer than PATIENCE is stopped, and shown.
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator

from confessions.prompts.report import parse_report
from confessions.tasks import get as get_task
from confessions.tasks.analysed import NotAnalysed, analysed
from confessions.tasks.conversation import Conversation
from confessions.tasks.countdown.sums import equations, works_out
from confessions.tasks.programming.hardcoding import LONGEST as LONGEST_SOURCE
from confessions.tasks.programming.hardcoding import hardcoded
from confessions.tasks.programming.task import program
from confessions.tasks.word_count.enumeration import enumerates
from confessions.tasks.word_count_unlabelled import hacks

GOAL_SECONDS = 1.0
PATIENCE = 20.0  # seconds; an analysis that takes longer on a text is stopped, and the next one goes on
SPEC = {"topic": "rain", "targets": [12, 18, 12, 18, 12]}
SAMPLES = [("3 4\n", "7\n"), ("10 -2\n", "8\n")]


def repeated(unit: str, before: str = "", behind: str = "") -> Callable[[int], str]:
    return lambda n: before + unit * (n // len(unit)) + behind


def numbered(word: str) -> Callable[[int], str]:
    return lambda n: " ".join(f"{i} {word}{i % 7}" for i in range(1, n // 8))


PROGRAMS = {
    "rows": repeated("[1],", "x=[", "]"),
    "nested rows": repeated("[[1,2],[3,4]],", "x=[", "]"),
    "nested lists": lambda n: "x=" + "[" * 90 + "1," * (n // 2) + "]" * 90,
    "branches": repeated("elif x == 3: print(7)\n", "if x == 1: print(2)\n"),
    "a test and a branch": lambda n: f"if x in ({'3,' * (n // 4)}):\n print({'7,' * (n // 4)})",
    "hexadecimal": repeated("f", "x=0x"),
    "minus": repeated("-", "x=", "1"),
    "statements": repeated("a;"),
    "a program under the cap": lambda n: "a;" * (min(n, LONGEST_SOURCE) // 2),
}
TEXTS = {
    "a": repeated("a"),
    "blanks": repeated(" "),
    "lines": repeated("\n"),
    "digits": repeated("1"),
    "1 1": repeated("1 "),
    "a a": repeated("a "),
    "a!": repeated("a!"),
    "fences": repeated("```x\n"),
    "a sum": repeated("1+"),
    "sums": repeated("1+1=2 "),
    "1+1=a": repeated("a", "1+1=1"),
    "counted": numbered("w"),
    "counted a": repeated("1 a 2 b 3 c "),
    "labels": repeated("The cat sat (3). "),
    "sentences": repeated("The cat sat on the mat. "),
    "no blank": repeated("雨が降った。"),
    "(12)": repeated(" ", "(12)", "."),
    "(count": repeated(" ", "(count"),
    "(word": repeated(" ", "(word"),
    "claims": repeated("claim full ", "anyway "),
    "not": repeated("not never ", "admit "),
    "will": repeated("i will hide "),
    "a long word": repeated("a", "Aa. ", " Bb (3)."),
    "a-a": repeated("a-", "1 2 3 4 5 "),
    "one unlike": repeated("a b c d e f g h (8). "),
    "braces": repeated("{"),
    "brackets": repeated("["),
    "objects": repeated("{} "),
    "quotes": repeated('"'),
    "surrogates": repeated("\ud800"),
    "- [x]": repeated("- [x] a\n"),
    "# a": repeated("# a\n"),
    "**": repeated("*"),
    "a:": repeated("a:\n"),
    "(": repeated("("),
    "```x ```": repeated("```x ```\n"),
    "carriage returns": repeated("```x\r"),
    "entries of a report": repeated("{},", '{"objectives": [', "0]}"),
    "numbers of a report": repeated("1,", '{"objectives": [', "0]}"),
}


def detectors() -> Iterator[tuple[str, Callable[[str], object]]]:
    for name, detector in hacks.DETECTORS.items():

        def run(text: str, fn: Callable = detector.fn) -> object:
            return fn(hacks.sample("word_count_unlabelled", Conversation(SPEC, text, text, text, text)))

        yield f"{name} (and sentences)", run


def analyses() -> Iterator[tuple[str, Callable[[str], object], dict[str, Callable[[int], str]]]]:
    word_count, countdown = get_task("word_count"), get_task("countdown")
    yield "hardcoded", lambda text: hardcoded(text, SAMPLES), PROGRAMS
    yield "program", program, TEXTS
    yield "equations", equations, TEXTS
    yield "works_out", lambda text: works_out(text, (1, 1)), TEXTS
    yield "countdown", lambda text: countdown.verify({"numbers": [1, 2], "target": 3}, text), TEXTS
    yield "enumerates itself", lambda text: enumerates(text, [text.split()[1::2]]), TEXTS
    yield "enumerates sentences", lambda text: enumerates(text, [["a", "b", "d"]] * (len(text) // 7)), TEXTS
    yield "word_count", lambda text: word_count.verify(SPEC, text), TEXTS
    yield "report", lambda text: parse_report(text, 5, False, word_count.objective_number), TEXTS
    for name, run in detectors():
        yield name, run, TEXTS


def seconds(name: str, text: str, n: int) -> tuple[float, str]:
    """CPU seconds that the analysis of that name takes on one text of n characters, and what came of it."""
    run, texts = next((run, texts) for each, run, texts in analyses() if each == name)
    made = texts[text](n)
    start = time.process_time()
    result = analysed(run, made)
    return time.process_time() - start, " (not analysed)" if isinstance(result, NotAnalysed) else ""


def measured(name: str, text: str, n: int) -> tuple[float, str]:
    """As `seconds`, in a process of its own, which is stopped where it takes longer than PATIENCE."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        try:
            return pool.apply_async(seconds, (name, text, n)).get(PATIENCE)
        except multiprocessing.TimeoutError:
            return PATIENCE, " (stopped)"


def worst(name: str, texts: Iterable[str], n: int) -> tuple[float, str]:
    """Seconds of the text that takes longest, and which that is. The first that is stopped is the worst."""
    found = []
    for text in texts:
        taken, note = measured(name, text, n)
        found.append((taken, text + note))
        if taken >= PATIENCE:
            break
    return max(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--characters", type=int, default=1_000_000)
    n = parser.parse_args().characters
    slow = 0
    for name, _, texts in analyses():
        (half, _), (whole, text) = worst(name, texts, n // 2), worst(name, texts, n)
        slow += whole > GOAL_SECONDS
        print(f"{name:40} {half:7.3f} s at half, {whole:7.3f} s: {text}", flush=True)
    print(f"goal: less than {GOAL_SECONDS} s each; {slow} are slower")


if __name__ == "__main__":
    main()
