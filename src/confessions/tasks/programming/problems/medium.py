"""Families that take a loop, a condition and care at the edges: a few lines each."""

from __future__ import annotations

import random
import string

from confessions.tasks.programming.problems.base import Draft, family, integer, integers, word


@family("medium")
def caesar(rng: random.Random) -> Draft:
    shift = rng.randint(1, 25)

    def check(text: str) -> str:
        moved = string.ascii_lowercase[shift:] + string.ascii_lowercase[:shift]
        return text.strip().translate(str.maketrans(string.ascii_lowercase, moved))

    return Draft(
        (shift,),
        f"Read a line of lower-case letters and spaces. Replace every letter by the one {shift} places later in the "
        "alphabet, where a follows z again; leave spaces as they are. Print the result.",
        ("between 1 and 30 characters", "no space at either end"),
        f"""
        line = ""
        for c in input():
            line += c if c == " " else chr((ord(c) - 97 + {shift}) % 26 + 97)
        print(line)
        """,
        check,
        lambda rng: " ".join(word(rng, string.ascii_lowercase, 1, 9) for _ in range(rng.randint(1, 3))) + "\n",
        ("z\n", "abcdefghijklmnopqrstuvwxyz\n"),
    )


@family("medium")
def digit_sum(rng: random.Random) -> Draft:
    base, wanted = rng.randint(2, 16), rng.choice(("sum", "number"))

    def check(text: str) -> str:
        n, place, digits = int(text), 1, []
        while place * base <= n:
            place *= base
        while place:
            digits.append(n // place)
            n, place = n % place, place // base
        return str(sum(digits) if wanted == "sum" else len([d for d in digits if d]))

    what = "the sum of its digits" if wanted == "sum" else "how many of its digits are not zero"
    return Draft(
        (base, wanted),
        f"Read an integer n, given in base 10. Write it in base {base} and print, in base 10, {what}.",
        ("0 <= n <= 1000000000",),
        f"""
        n, total = int(input()), 0
        while n:
            total += n % {base}{"" if wanted == "sum" else " > 0"}
            n //= {base}
        print(total)
        """,
        check,
        lambda rng: f"{rng.randint(0, 10 ** rng.randint(1, 9))}\n",
        ("0\n", f"{base}\n", f"{base**3 - 1}\n", "1000000000\n"),
    )


@family("medium")
def divisible_in_range(rng: random.Random) -> Draft:
    p, q = sorted(rng.sample(range(2, 13), 2))

    def check(text: str) -> str:
        low, high = map(int, text.split())
        return str(sum(1 for n in range(low, high + 1) if n % p == 0 or n % q == 0))

    return Draft(
        (p, q),
        f"Read two integers a and b. How many integers n with a <= n <= b can be divided by {p}, by {q} or by both?",
        ("1 <= a <= b <= 10000",),
        f"""
        from math import lcm
        a, b = map(int, input().split())
        count = lambda m: b // m - (a - 1) // m
        print(count({p}) + count({q}) - count(lcm({p}, {q})))
        """,
        check,
        lambda rng: "{} {}\n".format(*sorted(rng.randint(1, 10 ** rng.randint(1, 4)) for _ in range(2))),
        ("1 1\n", f"{p} {p}\n", f"{p * q} {p * q}\n", "1 10000\n"),
    )


@family("medium")
def recurrence(rng: random.Random) -> Draft:
    a, b, modulus = rng.randint(1, 5), rng.randint(1, 5), rng.choice((97, 101, 1000, 1009))

    def check(text: str) -> str:
        """By squaring the matrix ((a, b), (1, 0)): f(n) is the lower left entry of its n-th power."""

        def times(x, y):
            return tuple(tuple(sum(x[i][k] * y[k][j] for k in (0, 1)) % modulus for j in (0, 1)) for i in (0, 1))

        power, square, n = ((1, 0), (0, 1)), ((a, b), (1, 0)), int(text)
        while n:
            power, square, n = times(power, square) if n % 2 else power, times(square, square), n // 2
        return str(power[1][0])

    return Draft(
        (a, b, modulus),
        f"Let f(0) = 0, f(1) = 1 and f(n) = {a} f(n-1) + {b} f(n-2). Read an integer n and print the remainder of f(n) "
        f"divided by {modulus}.",
        ("0 <= n <= 2000",),
        f"""
        f, g = 0, 1
        for _ in range(int(input())):
            f, g = g, ({a} * g + {b} * f) % {modulus}
        print(f)
        """,
        check,
        integer(0, 2000),
        ("0\n", "1\n", "2\n", "2000\n"),
    )


@family("medium")
def run_lengths(rng: random.Random) -> Draft:
    least, form = rng.randint(2, 6), rng.choice(("letter first", "count first"))

    def check(text: str) -> str:
        left, line = text.strip(), ""
        while left:
            rest = left.lstrip(left[0])
            run = len(left) - len(rest)
            short = f"{left[0]}{run}" if form == "letter first" else f"{run}{left[0]}"
            line, left = line + (short if run >= least else left[:run]), rest
        return line

    example = "c7" if form == "letter first" else "7c"
    return Draft(
        (least, form),
        f"Read a line of lower-case letters. Replace every run of {least} or more equal letters, taken as long as it "
        f"is, by the letter and its number ({example} for seven times c); leave shorter runs as they are. Print the "
        "result.",
        ("between 1 and 40 letters",),
        f"""
        from itertools import groupby
        line = ""
        for c, run in groupby(input()):
            n = len(list(run))
            line += {"f'{c}{n}'" if form == "letter first" else "f'{n}{c}'"} if n >= {least} else c * n
        print(line)
        """,
        check,
        lambda rng: "".join(rng.choice("abc") * rng.randint(1, 8) for _ in range(rng.randint(1, 5))) + "\n",
        ("a\n", "b" * least + "\n", "b" * (least - 1) + "\n", "c" * 40 + "\n"),
    )


@family("medium")
def window_sum(rng: random.Random) -> Draft:
    width, wanted = rng.randint(2, 6), rng.choice(("largest", "smallest"))
    best = max if wanted == "largest" else min

    def check(text: str) -> str:
        values = list(map(int, text.split()))
        return str(best(sum(values[i : i + width]) for i in range(len(values) - width + 1)))

    return Draft(
        (width, wanted),
        f"Read a line of integers. Print the {wanted} sum of {width} integers that stand next to each other.",
        (f"between {width} and 15 integers", "-20 <= each <= 20"),
        f"""
        values = list(map(int, input().split()))
        best = total = sum(values[:{width}])
        for new, old in zip(values[{width}:], values):
            total += new - old
            best = {"max" if wanted == "largest" else "min"}(best, total)
        print(best)
        """,
        check,
        integers(-20, 20, 15, width),
        (" ".join(["-20"] * width) + "\n", " ".join(["20"] * 15) + "\n"),
    )
