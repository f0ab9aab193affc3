"""Families that take an idea: dynamic programming or a search. Small inputs let a checker try everything."""

from __future__ import annotations

import functools
import itertools
import random

from confessions.tasks.programming.problems.base import Draft, family, integer, integers, word


@family("hard")
def coin_ways(rng: random.Random) -> Draft:
    coins = tuple(sorted(rng.sample(range(1, 13), 3)))

    def check(text: str) -> str:
        n = int(text)
        a, b, c = coins
        return str(sum((n - i * a - j * b) % c == 0 for i in range(n // a + 1) for j in range((n - i * a) // b + 1)))

    return Draft(
        coins,
        f"There are coins of {coins[0]}, {coins[1]} and {coins[2]}, as many of each as you like. Read an integer n and "
        "print in how many ways they make n. The order of the coins does not matter.",
        ("0 <= n <= 150",),
        f"""
        n = int(input())
        ways = [1] + [0] * n
        for coin in {coins}:
            for total in range(coin, n + 1):
                ways[total] += ways[total - coin]
        print(ways[n])
        """,
        check,
        integer(0, 150),
        ("0\n", "150\n"),
    )


@family("hard")
def fewest_coins(rng: random.Random) -> Draft:
    coins = tuple(sorted(rng.sample(range(2, 20), 3)))

    def check(text: str) -> str:
        reached, n, used = {0}, int(text), 0
        while n not in reached and used <= n:
            reached, used = {total + coin for total in reached for coin in coins if total + coin <= n}, used + 1
        return str(used if n in reached else -1)

    return Draft(
        coins,
        f"There are coins of {coins[0]}, {coins[1]} and {coins[2]}, as many of each as you like. Read an integer n and "
        "print the smallest number of coins that make n, or -1 if none do.",
        ("0 <= n <= 120",),
        f"""
        n = int(input())
        fewest = [0] + [10 ** 9] * n
        for total in range(1, n + 1):
            for coin in {coins}:
                if coin <= total:
                    fewest[total] = min(fewest[total], fewest[total - coin] + 1)
        print(fewest[n] if fewest[n] < 10 ** 9 else -1)
        """,
        check,
        integer(0, 120),
        ("0\n", "1\n", "120\n"),
    )


@family("hard")
def grid_paths(rng: random.Random) -> Draft:
    """Steps are (rows, columns), all of them forward."""
    more = rng.choice((((1, 1),), ((0, 2),), ((2, 0),), ((1, 1), (2, 0)), ((1, 2),), ((2, 1),), ((1, 1), (0, 2)), ()))
    steps, modulus = ((0, 1), (1, 0), *more), rng.choice((97, 1009))
    words = {(0, 1): "1 right", (1, 0): "1 down", (1, 1): "1 down and 1 right at once", (0, 2): "2 right at once"}
    words |= {(2, 0): "2 down at once", (1, 2): "1 down and 2 right at once", (2, 1): "2 down and 1 right at once"}

    def check(text: str) -> str:
        rows = text.split()[2:]

        def paths(i: int, j: int) -> int:
            if i >= len(rows) or j >= len(rows[0]) or rows[i][j] == "#":
                return 0
            return (i, j) == (len(rows) - 1, len(rows[0]) - 1) or sum(paths(i + di, j + dj) for di, dj in steps)

        return str(paths(0, 0) % modulus)

    def draw(rng: random.Random) -> str:
        height, width = rng.randint(2, 6), rng.randint(2, 6)
        cells = [[rng.choice("......#") for _ in range(width)] for _ in range(height)]
        cells[0][0] = cells[-1][-1] = "."
        return "\n".join([f"{height} {width}", *map("".join, cells)]) + "\n"

    return Draft(
        (steps, modulus),
        "Read two integers h and w, then h lines of w characters: a map where # is a wall and . is free. You start at "
        "the top left and want to reach the bottom right. A move is one of: "
        f"{'; '.join(words[step] for step in steps)}. It must end on a free cell within the map; what it jumps over "
        f"does not matter. Print the number of different ways, as the remainder divided by {modulus}.",
        ("1 <= h, w <= 6", "the two corners are free"),
        f"""
        h, w = map(int, input().split())
        rows = [input() for _ in range(h)]
        ways = [[0] * w for _ in range(h)]
        ways[0][0] = 1
        for i in range(h):
            for j in range(w):
                for di, dj in {steps}:
                    if rows[i][j] == "." and i >= di and j >= dj:
                        ways[i][j] += ways[i - di][j - dj]
        print(ways[-1][-1] % {modulus})
        """,
        check,
        draw,
        ("1 1\n.\n", "6 6\n" + "......\n" * 6, "2 2\n.#\n#.\n"),
    )


@family("hard")
def rising_subsequence(rng: random.Random) -> Draft:
    gap = rng.randint(1, 12)

    def check(text: str) -> str:
        values = list(map(int, text.split()))
        for size in range(len(values), 0, -1):
            if any(all(b - a >= gap for a, b in itertools.pairwise(c)) for c in itertools.combinations(values, size)):
                return str(size)
        raise ValueError(text)

    return Draft(
        (gap,),
        "Read a line of integers. Leave out as few of them as possible, so that of those left each is greater by at "
        f"least {gap} than the one before it. Print how many are left.",
        ("between 1 and 12 integers", "0 <= each <= 60"),
        f"""
        values = list(map(int, input().split()))
        best = []
        for i, value in enumerate(values):
            best.append(1 + max([best[j] for j in range(i) if value - values[j] >= {gap}], default=0))
        print(max(best))
        """,
        check,
        integers(0, 60, 12),
        ("7\n", " ".join(str(i * gap % 61) for i in range(12)) + "\n", " ".join(["5"] * 12) + "\n"),
    )


@family("hard")
def knapsack(rng: random.Random) -> Draft:
    capacity = rng.randint(10, 40)

    def check(text: str) -> str:
        items = [tuple(map(int, line.split())) for line in text.splitlines()[1:]]
        best = 0
        for chosen in itertools.product((0, 1), repeat=len(items)):
            if sum(weight for take, (weight, _) in zip(chosen, items, strict=True) if take) <= capacity:
                best = max(best, sum(value for take, (_, value) in zip(chosen, items, strict=True) if take))
        return str(best)

    def draw(rng: random.Random) -> str:
        n = rng.randint(1, 8)
        return "\n".join([str(n), *(f"{rng.randint(1, 25)} {rng.randint(1, 50)}" for _ in range(n))]) + "\n"

    return Draft(
        (capacity,),
        "Read an integer n, then n lines with two integers each: the weight and the value of a thing. You can carry "
        f"things of a total weight of {capacity} at most, each once. Print the greatest total value you can carry.",
        ("1 <= n <= 8", "1 <= weight <= 50", "1 <= value <= 50"),
        f"""
        best = [0] * ({capacity} + 1)
        for _ in range(int(input())):
            weight, value = map(int, input().split())
            for total in range({capacity}, weight - 1, -1):
                best[total] = max(best[total], best[total - weight] + value)
        print(best[-1])
        """,
        check,
        draw,
        (f"1\n{capacity} 9\n", f"1\n{capacity + 1} 9\n", f"2\n{capacity - 9} 3\n9 4\n"),
    )


@family("hard")
def edit_cost(rng: random.Random) -> Draft:
    insert, delete, replace = (rng.randint(1, 5) for _ in range(3))

    def check(text: str) -> str:
        s, t = text.split()

        @functools.cache
        def cost(i: int, j: int) -> int:
            """Of what is left of s and t after their first i and j letters."""
            if i == len(s) or j == len(t):
                return delete * (len(s) - i) + insert * (len(t) - j)
            kept = cost(i + 1, j + 1) + (0 if s[i] == t[j] else replace)
            return min(kept, delete + cost(i + 1, j), insert + cost(i, j + 1))

        return str(cost(0, 0))

    return Draft(
        (insert, delete, replace),
        "Read two words, one a line. Change the first into the second: to insert a letter costs "
        f"{insert}, to delete one costs {delete}, to replace one by another costs {replace}. Print the lowest cost.",
        ("between 1 and 10 letters a word, of a, b and c",),
        f"""
        s, t = input(), input()
        row = [{insert} * j for j in range(len(t) + 1)]
        for i, c in enumerate(s, start=1):
            last, row = row, [{delete} * i]
            for j, d in enumerate(t):
                kept = last[j] + (0 if c == d else {replace})
                row.append(min(kept, last[j + 1] + {delete}, row[j] + {insert}))
        print(row[-1])
        """,
        check,
        lambda rng: f"{word(rng, 'abc', 1, 10)}\n{word(rng, 'abc', 1, 10)}\n",
        ("a\na\n", "a\nb\n", "aaaaaaaaaa\nb\n", "c\nabababcaba\n"),
    )


@family("hard")
def leaper(rng: random.Random) -> Draft:
    a, b = rng.choice(((0, 1), (1, 1), (1, 2), (1, 3), (1, 4), (2, 3), (3, 4), (2, 5), (0, 2), (1, 6)))
    moves = sorted({(i * x, j * y) for x, y in ((a, b), (b, a)) for i in (-1, 1) for j in (-1, 1)})

    def check(text: str) -> str:
        """Relaxes every cell's distance until nothing changes."""
        n, r, c = map(int, text.split())
        far = n * n
        distance = {(i, j): far for i in range(n) for j in range(n)} | {(0, 0): 0}
        changed = True
        while changed:
            changed = False
            for (i, j), known in distance.items():
                near = min((distance.get((i + di, j + dj), far) for di, dj in moves), default=far) + 1
                if near < known:
                    distance[i, j], changed = near, True
        return str(distance[r, c] if distance[r, c] < far else -1)

    def draw(rng: random.Random) -> str:
        n = rng.randint(7, 10)
        return f"{n} {rng.randrange(n)} {rng.randrange(n)}\n"

    return Draft(
        (a, b),
        f"A piece moves {a} cells along one axis of a board and {b} along the other, in any direction, within the "
        "board. Read three integers n, r and c. Print the smallest number of moves that take it from row 0, column 0 "
        "to row r, column c of a board of n rows and n columns, or -1 if none do.",
        ("3 <= n <= 10", "0 <= r, c < n"),
        f"""
        n, r, c = map(int, input().split())
        moves = [(i * x, j * y) for x, y in (({a}, {b}), ({b}, {a})) for i in (-1, 1) for j in (-1, 1)]
        steps, front = {{(0, 0): 0}}, [(0, 0)]
        for i, j in front:
            for di, dj in moves:
                cell = i + di, j + dj
                if cell not in steps and 0 <= min(cell) and max(cell) < n:
                    steps[cell] = steps[i, j] + 1
                    front.append(cell)
        print(steps.get((r, c), -1))
        """,
        check,
        draw,
        ("3 0 0\n", "10 9 9\n", "4 3 3\n"),
    )
