"""Which rows of a batch go through the model together."""

from collections.abc import Sequence


def by_rows(n_rows: int, most: int) -> list[list[int]]:
    """All rows in order, `most` at a time."""
    return [list(range(start, min(start + most, n_rows))) for start in range(0, n_rows, most)]


def by_tokens(lengths: Sequence[int], most_rows: int, most_tokens: int) -> list[list[int]]:
    """Rows of like length together, the longest first, as many as most_tokens hold when each is padded to the longest.

    `lengths` are in tokens. A row that is longer than most_tokens stands alone.
    """
    groups: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        room = min(most_rows, most_tokens // lengths[groups[-1][0]]) if groups else 0
        if groups and len(groups[-1]) < room:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups
