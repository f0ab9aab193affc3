"""The probability that a model gave to "met" where it wrote a claim, by the token that it sampled there.

The token is the one in which the claim's word begins: " met" or " not" of a line, Full, Partial or None of a JSON
report. One number is known of it, p, its probability at temperature 1. An approximation: all that p leaves goes to the
other claim. So the probability of "met" is p where the claim is met, 1 - p where it is not, and .5 for a hedge. It is
the probability behind what was written before the claim: findings, reasoning, the earlier claims.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from confessions.prompts.report import Compliance, parse
from confessions.runtime.errors import InputError, first_line

if TYPE_CHECKING:
    import pandas as pd

Decode = Callable[[Sequence[int]], str]

COLUMNS = ("confession_ids", "confession_logprobs", "report_start")  # of a rollout, beside its texts
TOKENIZER = "tokenizer.json"  # of a model folder
CUT = "\ufffd"  # what a character is decoded to of which bytes are missing


def load(folder: Path) -> Decode:
    """The tokenizer of a model folder, as what turns ids to text. Raises InputError where there is none."""
    from tokenizers import Tokenizer

    if (file := folder / TOKENIZER).is_file():
        try:
            tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # tokenizers raises nothing narrower
            raise InputError(f"{file}: {first_line(error)}; copy the model's own file there") from None
    else:
        from confessions.models.loading import load_tokenizer  # imports transformers: seconds

        tokenizer = load_tokenizer(folder)
    return partial(tokenizer.decode, skip_special_tokens=True)


def p_met(decode: Decode, rollouts: pd.DataFrame, scores: pd.DataFrame) -> list[list[float] | None]:
    """(S,) of each rollout; None where the report is invalid, has no claims in words, or is not the tokens' text."""
    variants = rollouts["variant"] if "variant" in rollouts else ["default"] * len(rollouts)
    texts = zip(variants, rollouts["yc"], *(rollouts[column] for column in COLUMNS), strict=True)
    return [
        _of_report(decode, [Compliance(claim) for claim in claims], *said) if valid else None
        for valid, claims, said in zip(scores["report_valid"], scores["claims"], texts, strict=True)
    ]


def _of_report(
    decode: Decode,
    claims: Sequence[Compliance],
    variant: str,
    text: str,
    ids: Sequence[int],
    logprobs: Sequence[float],
    start: int,
) -> list[float] | None:
    starts = parse(variant, text, len(claims)).claim_starts
    body = [int(i) for i in ids[start:]]
    at = decode(body).find(text)
    if starts is None or at < 0:
        return None
    tokens = [start + token_at(decode, body, at + place) for place in starts]
    sampled = [min(1.0, math.exp(logprobs[token])) for token in tokens]
    return [_p_met(claim, p) for claim, p in zip(claims, sampled, strict=True)]


def _p_met(claim: Compliance, p: float) -> float:
    return {Compliance.FULL: p, Compliance.NONE: 1 - p, Compliance.PARTIAL: 0.5}[claim]


def token_at(decode: Decode, ids: Sequence[int], place: int) -> int:
    """The index of the token in which the character at `place` of the decoded ids begins."""
    return bisect_left(range(len(ids)), True, key=lambda n: len(decode(ids[: n + 1]).rstrip(CUT)) > place)
