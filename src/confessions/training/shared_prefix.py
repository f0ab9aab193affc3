"""Rows that begin alike, as one row: what precedes the first trained token is read once for all of them.

Several confessions of one answer share its prompt, the answer and the request. The packed row is that prefix without
its last token, and then, for each of the rows, that last token again and what follows it in the row. Positions go on
from the prefix, and a token sees the prefix and what precedes it in its own row: every log-probability is that of the
row alone, but for rounding.

The first confession of an answer trains the answer too. Where the batch has other confessions of it, their prefix is
this row's beginning as well, and what the row trains of it is scored there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from transformers import PretrainedConfig

from confessions.runtime.errors import InputError


@dataclass
class PackedRow:
    """One prefix and what follows it in some rows."""

    ids: list[int]
    positions: list[int]
    segments: list[int]  # 0: the prefix; k: the k-th row
    scored: list[bool]
    rows: list[tuple[int, int, int, int]] = field(default_factory=list)  # row, its column, packed column, length


@dataclass(frozen=True)
class Packed:
    """Packed rows as tensors; R rows of L tokens."""

    ids_RL: torch.Tensor
    positions_RL: torch.Tensor
    scored_RL: torch.Tensor
    visible_R1LL: torch.Tensor  # True where a token (third) sees another (fourth)
    places_4N: torch.Tensor  # of each token behind a prefix: row and column, packed row and column

    def unpacked(self, values_RL: torch.Tensor, n_rows: int, width: int) -> torch.Tensor:
        """(R, L - 1) values of the tokens from the second on -> (n_rows, width), 0 where nothing was scored."""
        row, column, packed_row, packed_column = self.places_4N
        out = values_RL.new_zeros(n_rows, width)
        out[row, column] = values_RL[packed_row, packed_column - 1]
        return out


def check(config: PretrainedConfig) -> None:
    """Raise InputError for a model in which a token does not see all that precedes it: packed rows would show it other
    tokens."""
    kinds = set(getattr(config.get_text_config(), "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"}:
        other = sorted(kinds - {"full_attention"})[0]
        raise InputError(f"train.shared_prefix: this model has layers of {other}: set it to false")


def _n_before(scored: Sequence[bool]) -> int:
    """How many tokens of a row precede the first that is scored."""
    return scored.index(True) if True in scored else len(scored)


def alike(rows: Sequence[Sequence[int]], scored: Sequence[Sequence[bool]]) -> dict[tuple[int, ...], list[int]]:
    """Groups of rows, in order, by what they have in common: the longest prefix that a row begins with, its own (the
    ids before its first scored one) or another row's. The last token of a prefix, which each row repeats, is scored in
    none."""
    prefixes = {tuple(row[: _n_before(flags)]) for row, flags in zip(rows, scored, strict=True)}
    lengths = sorted({*map(len, prefixes)}, reverse=True)
    groups: dict[tuple[int, ...], list[int]] = {}
    for row, (ids, flags) in enumerate(zip(rows, scored, strict=True)):
        begun = (tuple(ids[:n]) for n in lengths if n <= len(ids) and not flags[n - 1])
        groups.setdefault(next(prefix for prefix in begun if prefix in prefixes), []).append(row)
    return groups


def pack(ids_BW: torch.Tensor, mask_BW: torch.Tensor, scored_BW: torch.Tensor) -> Packed:
    """Rows of padded tokens as packed rows, a group of `alike` ones each. The first token of a row is never scored."""
    columns = [row.nonzero()[:, 0].tolist() for row in mask_BW.cpu()]
    ids, scored = ids_BW.tolist(), scored_BW.tolist()
    kept = [[row[c] for c in at] for row, at in zip(ids, columns, strict=True)]
    flags = [[row[c] for c in at] for row, at in zip(scored, columns, strict=True)]
    packed = []
    for prefix, group in alike(kept, flags).items():
        n = len(prefix)
        scored_before = [any(at) for at in zip(*(flags[row][: n - 1] for row in group), strict=True)]
        one = PackedRow([*prefix[:-1]], [*range(n - 1)], [0] * (n - 1), scored_before)
        for segment, row in enumerate(group, start=1):
            rest, first = kept[row][n - 1 :], _n_before(flags[row])
            if first < n - 1:
                one.rows.append((row, columns[row][first], first, n - 1 - first))
            if len(rest) > 1:
                one.rows.append((row, columns[row][n], len(one.ids) + 1, len(rest) - 1))
            one.ids += rest
            one.positions += range(n - 1, n - 1 + len(rest))
            one.segments += [segment] * len(rest)
            one.scored += [False, *flags[row][n:]]
        packed.append(one)
    length = max(len(one.ids) for one in packed)

    def tensor(name: str) -> torch.Tensor:  # padding stands behind all that is seen
        rows = [getattr(one, name) for one in packed]
        return torch.tensor([row + [0] * (length - len(row)) for row in rows], device=ids_BW.device)

    segments_RL = tensor("segments")
    own_RLL = (segments_RL.unsqueeze(2) == segments_RL.unsqueeze(1)) | (segments_RL == 0).unsqueeze(1)
    order = torch.arange(length, device=ids_BW.device)
    visible_R1LL = (own_RLL & (order.unsqueeze(1) >= order)).unsqueeze(1)
    places = [
        (row, column + i, number, start + i)
        for number, one in enumerate(packed)
        for row, column, start, n in one.rows
        for i in range(n)
    ]
    places_4N = torch.tensor(places, dtype=torch.long, device=ids_BW.device).view(-1, 4).T
    return Packed(tensor("ids"), tensor("positions"), tensor("scored").bool(), visible_R1LL, places_4N)


def lengths(ids_BW: torch.Tensor, mask_BW: torch.Tensor, scored_BW: torch.Tensor) -> tuple[list[list[int]], list[int]]:
    """Groups of `alike` rows and the length in tokens of each packed."""
    valid = mask_BW.bool().cpu()
    rows, flags = ([row[at].tolist() for row, at in zip(x.cpu(), valid, strict=True)] for x in (ids_BW, scored_BW))
    groups = alike(rows, flags)
    sizes = [len(prefix) - 1 + sum(len(rows[row]) - len(prefix) + 1 for row in g) for prefix, g in groups.items()]
    return [*groups.values()], sizes
