"""Micro-batches: every row once, no more than fits."""

import random

from confessions.training.micro_batches import by_rows, by_tokens


def test_by_rows():
    assert by_rows(5, 2) == [[0, 1], [2, 3], [4]]
    assert by_rows(2, 8) == [[0, 1]]


def test_by_tokens_goes_from_long_to_short():
    assert by_tokens([3, 9, 4, 4, 2], 8, 12) == [[1], [2, 3, 0], [4]]
    assert by_tokens([3, 9, 4, 4, 2], 2, 12) == [[1], [2, 3], [0, 4]]
    assert by_tokens([100, 5], 8, 12) == [[0], [1]]  # too long for any: alone


def test_every_row_once_and_within_the_limits():
    generator = random.Random(0)
    for _ in range(200):
        lengths = [generator.randint(1, 50) for _ in range(generator.randint(1, 40))]
        most_rows, most_tokens = generator.randint(1, 10), generator.randint(1, 200)
        groups = by_tokens(lengths, most_rows, most_tokens)
        assert sorted(row for group in groups for row in group) == list(range(len(lengths)))
        for group in groups:
            assert len(group) <= most_rows
            assert len(group) == 1 or len(group) * max(lengths[row] for row in group) <= most_tokens
