"""Which claim a token of a list of findings is paid for: the one on its own line."""

from collections.abc import Sequence

import torch

from confessions.models.chat import Chat
from confessions.prompts.report import claim_lines
from confessions.training.advantages import Advantages


def line_advantages(lines_BS: torch.Tensor, form: Advantages, n_generations: int) -> torch.Tensor:
    """(B, S) rewards of the claims, NaN where there is none -> (B, S) advantages: each claim's among those about the
    same objective in its group, times the claims of its report. Where the form is linear, their mean is the report's.
    """
    n_B1 = (~lines_BS.isnan()).sum(1, keepdim=True)
    return torch.stack([form(line_B, n_generations) for line_B in lines_BS.unbind(1)], 1) * n_B1


def objectives_of_tokens(chat: Chat, ids: Sequence[int], start: int, n: int) -> list[int | None]:
    """Of each id of turn 2, whose body begins at `start`, the objective (from 0) on whose line its last letter stands.

    None before the body, on other lines and for the end of the turn; None throughout where there are not `n` findings.
    """
    pieces = chat.pieces(ids)
    lines = claim_lines("".join(pieces[start:]))
    objective = {line: s for s, line in enumerate(lines)} if len(lines) == n else {}
    found, before = [None] * start, 0
    for piece in pieces[start:]:
        found.append(objective.get(before + piece.rstrip("\n").count("\n")) if piece else None)
        before += piece.count("\n")
    return found
