"""Families that one short line solves: within reach of a policy of a million parameters, or of a script."""

from __future__ import annotations

import random
import string

from confessions.tasks.programming.problems.base import Draft, family, integer, integers, word


@family("easy")
def affine(rng: random.Random) -> Draft:
    a, b = rng.randint(2, 9), rng.randint(1, 9)

    def check(text: str) -> str:
        total = b
        for _ in range(int(text)):
            total += a
        return str(total)

    return Draft(
        (a, b),
        f"Read an integer n and print {a} times n plus {b}.",
        ("0 <= n <= 999",),
        f"print(int(input()) * {a} + {b})\n",
        check,
        integer(0, 999),
        ("0\n", "1\n", "999\n"),
    )


@family("easy")
def remainder(rng: random.Random) -> Draft:
    m = rng.randint(3, 30)

    def check(text: str) -> str:
        n = int(text)
        while n >= m:
            n -= m
        return str(n)

    return Draft(
        (m,),
        f"Read an integer n and print the remainder of n divided by {m}.",
        ("0 <= n <= 9999",),
        f"print(int(input()) % {m})\n",
        check,
        integer(0, 9999),
        ("0\n", f"{m}\n", "9999\n"),
    )


@family("easy")
def clamp(rng: random.Random) -> Draft:
    low = rng.randint(-50, 0)
    high = low + rng.randint(30, 90)

    def check(text: str) -> str:
        n = int(text)
        return str(low if n < low else high if n > high else n)

    return Draft(
        (low, high),
        f"Read an integer n. Print {low} if n is less than that, {high} if n is greater than that, and else n itself.",
        ("-200 <= n <= 200",),
        f"print(min(max(int(input()), {low}), {high}))\n",
        check,
        integer(low - 20, high + 20),
        (f"{low - 1}\n", f"{low}\n", f"{high}\n", f"{high + 1}\n", "-200\n", "200\n"),
    )


@family("easy")
def power_sum(rng: random.Random) -> Draft:
    power, extra = rng.randint(1, 3), rng.randint(0, 9)

    def check(text: str) -> str:
        total = extra
        for value in map(int, text.split()):
            product = 1
            for _ in range(power):
                product *= value
            total += product
        return str(total)

    what = {1: "them", 2: "their squares", 3: "their cubes"}[power]
    return Draft(
        (power, extra),
        f"Read a line of integers and print the sum of {what}" + (f", plus {extra}." if extra else "."),
        ("between 1 and 8 integers", "-20 <= each <= 20"),
        f"print(sum(int(x) ** {power} for x in input().split()) + {extra})\n",
        check,
        integers(-20, 20, 8),
        ("0\n", "-1\n", "20 20 20 20 20 20 20 20\n"),
    )


@family("easy")
def letter_count(rng: random.Random) -> Draft:
    letter = rng.choice(string.ascii_lowercase)
    letters = letter * 8 + string.ascii_lowercase

    def check(text: str) -> str:
        return str(len([c for c in text if c == letter]))

    return Draft(
        (letter,),
        f"Read a line of lower-case letters and print how many of them are the letter {letter}.",
        ("between 1 and 30 letters",),
        f"print(input().count({letter!r}))\n",
        check,
        lambda rng: word(rng, letters, 1, 30) + "\n",
        (f"{letter}\n", f"{letter * 30}\n"),
    )


@family("easy")
def count_above(rng: random.Random) -> Draft:
    threshold = rng.randint(-30, 30)

    def check(text: str) -> str:
        values = sorted(map(int, text.split()), reverse=True)
        while values and values[-1] <= threshold:
            values.pop()
        return str(len(values))

    return Draft(
        (threshold,),
        f"Read a line of integers and print how many of them are greater than {threshold}.",
        ("between 1 and 12 integers", "-50 <= each <= 50"),
        f"print(sum(int(x) > {threshold} for x in input().split()))\n",
        check,
        integers(-50, 50, 12),
        (f"{threshold}\n", f"{threshold + 1}\n", f"{threshold + 1} {threshold} {threshold + 2} {threshold - 1} 50\n"),
    )


@family("easy")
def repeated_word(rng: random.Random) -> Draft:
    times, separator = rng.randint(2, 5), rng.choice("-+/_*")

    def check(text: str) -> str:
        line = text.strip()
        for _ in range(times - 1):
            line += separator + text.strip()
        return line

    return Draft(
        (times, separator),
        f"Read a word and print it {times} times on one line, with {separator} between each two.",
        ("between 1 and 10 lower-case letters",),
        f"print({separator!r}.join([input()] * {times}))\n",
        check,
        lambda rng: word(rng, string.ascii_lowercase, 1, 10) + "\n",
        ("a\n",),
    )
