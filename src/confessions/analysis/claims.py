"""Every claim of a cell in one long table, which the metrics of self-knowledge read. N = claims, R = instances.

An instance is what is asked (a task's spec). Several answers to one instance are not independent of each other, and
neither are several confessions about one answer, nor several objectives of one: intervals resample instances.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from confessions.prompts.report import Compliance
from confessions.scoring.scores import P_MET, P_TOKEN

FULL, PARTIAL, NONE = 1.0, 0.5, 0.0  # a claim as the probability that it gives to "met"
PROBABILITY = {Compliance.FULL: FULL, Compliance.PARTIAL: PARTIAL, Compliance.NONE: NONE}
ENOUGH = 15  # distinct answers that meet an objective, and as many that do not, for its kind to qualify


@dataclass(frozen=True)
class Claims:
    """The claims about objectives whose truth is known, one entry each."""

    n_instances: int  # R, of the cell: also those whose claims were left out
    instance: np.ndarray  # (N,) int, 0..R-1, in the order of their names
    answer: np.ndarray  # (N,) str
    objective: np.ndarray  # (N,) int, from 0
    kind: np.ndarray  # (N,) str
    policy: np.ndarray  # (N,) which policy claims; a rival that was fitted in parts is one for each, never compared
    met: np.ndarray  # (N,) bool
    claim: np.ndarray  # (N,) float: FULL, PARTIAL, NONE; NaN where the report is invalid
    p_met: np.ndarray  # (N,) float, 0..1: the claim, or a probability where one is written; NaN likewise
    p_token: np.ndarray  # (N,) float, 0..1: the probability of the token that the claim begins with; NaN: not known

    def only(self, kept: np.ndarray) -> Claims:
        """Those claims where `kept` (N,) is true, over the same instances."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "n_instances"}
        return replace(self, **{name: values[kept] for name, values in arrays.items()})

    @property
    def valid(self) -> Claims:
        """The claims of valid reports."""
        return self.only(~np.isnan(self.claim))

    def by_token(self) -> Claims:
        """The claims whose token is known, with its probability, and those of invalid reports. None where no token is
        known."""
        known = ~np.isnan(self.p_token)
        return replace(self, p_met=self.p_token).only((known | np.isnan(self.claim)) & known.any())

    def ranked_by_token(self) -> Claims:
        """The same, with log-odds rounded to a tenth, from -10 to 10: at most 201 ranks, which resample quickly."""
        tokens = self.by_token()
        return replace(tokens, p_met=expit(np.round(logit(tokens.p_token), 1).clip(-10, 10)))

    def by_instance(self, values: np.ndarray) -> np.ndarray:
        """(R,) the sum of the values (N,) over each instance's claims."""
        return np.bincount(self.instance, values, self.n_instances)

    def qualifying(self) -> list[str]:
        """The kinds of which ENOUGH distinct answers are met, and ENOUGH are not."""
        each = self.once_an_answer
        kinds, which = np.unique(each.kind, return_inverse=True)
        met, unmet = (np.bincount(which, each.met == value, len(kinds)) for value in (True, False))
        return kinds[np.minimum(met, unmet) >= ENOUGH].tolist()

    @property
    def once_an_answer(self) -> Claims:
        """Of each distinct answer one claim about each kind that it meets, and about each that it does not."""
        answer, kind = (np.unique(names, return_inverse=True)[1] for names in (self.answer, self.kind))
        return self.only(np.unique(np.stack([answer, kind, self.met]), axis=1, return_index=True)[1])

    def by_policy(self, kept: np.ndarray | bool = True) -> list[Claims]:
        """The claims of each policy where `kept` (N,) is true. A policy that has nothing met, or nothing unmet, is left
        out: there is nothing to tell apart."""
        parts = [self.only((self.policy == policy) & kept) for policy in np.unique(self.policy)]
        return [part for part in parts if part.met.any() and not part.met.all()]

    def within_kinds(self) -> list[Claims]:
        """The claims of each kind that qualifies, by policy."""
        return [part for kind in self.qualifying() for part in self.by_policy(self.kind == kind)]


def claims(scores: pd.DataFrame) -> Claims:
    """The claims of a cell's scores. Probabilities are read from the columns p_met and p_token, where these
    are and say any.

    Raises ValueError where a row's probabilities are not as many as its objectives.
    """
    sizes = scores["met"].map(len).to_numpy(dtype=int)
    rollout = np.repeat(np.arange(len(scores)), sizes)
    met = np.array(flat(scores["met"]), dtype=float)  # NaN where it is not known
    reported = [[None] * n if said is None else said for said, n in zip(scores["claims"], sizes, strict=True)]
    claim = np.array([PROBABILITY.get(said, np.nan) for said in flat(reported)], dtype=float)
    written, token = (
        np.where(np.isnan(claim), np.nan, _probabilities(scores, name, sizes)) for name in (P_MET, P_TOKEN)
    )
    names, instance = np.unique(scores["instance"].to_numpy(dtype=str), return_inverse=True)
    policy = scores["policy"].to_numpy() if "policy" in scores else np.zeros(len(scores), dtype=int)
    every = Claims(
        n_instances=len(names),
        instance=instance[rollout],
        answer=scores["answer"].to_numpy(dtype=str)[rollout],
        objective=np.arange(len(rollout)) - np.repeat(sizes.cumsum() - sizes, sizes),
        kind=np.array(flat(scores["kinds"]), dtype=str),
        policy=policy[rollout],
        met=met == 1,
        claim=claim,
        p_met=np.where(np.isnan(written), claim, written),
        p_token=token,
    )
    return every.only(~np.isnan(met))


def _probabilities(scores: pd.DataFrame, name: str, sizes: np.ndarray) -> np.ndarray:
    """(N,) what a column of lists says, NaN where it says nothing."""
    rows = scores[name] if name in scores else [None] * len(sizes)
    given = [[None] * n if row is None else row for row, n in zip(rows, sizes, strict=True)]
    if any(len(row) != n for row, n in zip(given, sizes, strict=True)):
        raise ValueError(f"{name}: not one probability for each objective")
    return np.array(flat(given), dtype=float)


def flat(lists: Iterable[Iterable]) -> list:
    """The entries of all lists, one after the other."""
    return [value for values in lists for value in values]
