"""Which claim a token of a report in lines is paid for: the one on its line. And a bonus on the entropy of claims."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, chain
from statistics import fmean

import torch

from confessions.models.chat import Chat
from confessions.prompts.report import claim_lines, parse
from confessions.training.advantages import Advantages


def line_advantages(lines_BS: torch.Tensor, form: Advantages, n_generations: int) -> torch.Tensor:
    """(B, S) rewards of the claims, NaN where there is none -> (B, S) advantages: each claim's among those about the
    same objective in its group, times the claims of its report. Where the form is linear, their mean is the report's.
    """
    n_B1 = (~lines_BS.isnan()).sum(1, keepdim=True)
    return torch.stack([form(line_B, n_generations) for line_B in lines_BS.unbind(1)], 1) * n_B1


def lines_of_tokens(
    chat: Chat, ids: Sequence[int], start: int, variant: str, n: int
) -> tuple[list[int | None], list[int]]:
    """Of each id of turn 2, whose body begins at `start`, the objective (from 0) on whose line its last letter stands;
    and the place of the id in which each claim's word begins.

    None before the body, on other lines and for the end of the turn. None throughout, and no places, where the body is
    no report about `n` objectives.
    """
    pieces = chat.pieces(ids)
    text = "".join(pieces[start:])
    parsed = parse(variant, text, n)
    if not parsed.valid:
        return [None] * len(ids), []
    objective = {line: s for s, line in enumerate(claim_lines(text, variant))}
    about, before = [None] * start, 0
    for piece in pieces[start:]:
        about.append(objective.get(before + piece.rstrip("\n").count("\n")) if piece else None)
        before += piece.count("\n")
    ends = [*accumulate(map(len, pieces[start:]))]
    return about, [start + bisect_right(ends, place) for place in parsed.claim_starts or ()]


def entropy_bonus(logprobs: Sequence[Sequence[float]], weight: float) -> list[list[float]]:
    """What is added to the advantage of each claim's word: weight * (surprise - the mean surprise of the batch).

    Surprise is -log p of the sampled word, but no more than that of a fair coin, log 2. So it is highest where met and
    not met are as likely, and words in a hundred spellings earn nothing more (docs/results/instructions.md).
    `logprobs` of the sampled words, a list a report.
    """
    surprises = [[min(-logp, math.log(2)) for logp in report] for report in logprobs]
    mean = fmean(flat) if (flat := [*chain.from_iterable(surprises)]) else 0.0
    return [[weight * (surprise - mean) for surprise in report] for report in surprises]
