"""The base-rate rival: the best policy that knows the kind of each objective and not the answer."""

import numpy as np
import pandas as pd

from confessions.analysis.claims import flat
from confessions.prompts.report import HIGHEST_GRADE, LOWEST_GRADE, Compliance
from confessions.scoring.scores import P_MET, SOMETIMES, claim_columns


def base_rate_scores(scores: pd.DataFrame, training: pd.DataFrame | None = None) -> pd.DataFrame:
    """The scores of the same answers with the claims of the base-rate rival; p_met is the rate of the kind.

    It claims Full of a kind that is met in more than half of the answers that it is fitted on, None of the others; and
    grades all answers as most of those deserve. Of a kind that it never met it knows the rate of all objectives.
    `training`: the scores of answers to fit it on. Without them it is cross-fitted in two halves of the instances, each
    half's claims by the rates of the other. These are two policies (column `policy`), which no metric ranks against
    each other: the half with more met always has the lower rates. No row where there is nothing to fit it on: fewer
    than two instances.

    Raises ValueError where an answer is among those that it is fitted on.
    """
    if training is not None:
        if set(training["answer"]) & set(scores["answer"]):
            raise ValueError("the base-rate rival would be scored on answers that it was fitted on")
        return _claimed(scores, training)
    names = np.unique(scores["instance"].to_numpy(dtype=str))
    if len(names) < 2:
        return scores[:0]
    numbered = scores.reset_index(drop=True)
    odd = numbered["instance"].isin(names[1::2])
    halves = [_claimed(numbered[here], numbered[~here]).assign(policy=i) for i, here in enumerate((odd, ~odd))]
    return pd.concat(halves).sort_index().set_axis(scores.index)


def _claimed(scores: pd.DataFrame, fitted_on: pd.DataFrame) -> pd.DataFrame:
    known = pd.DataFrame({"kind": flat(fitted_on["kinds"]), "met": flat(fitted_on["met"])}).dropna()
    met = known["met"].astype(float)
    rates, overall = met.groupby(known["kind"]).mean().to_dict(), met.mean()
    grade = HIGHEST_GRADE if fitted_on["exact_compliance"].dropna().astype(float).mean() > 0.5 else LOWEST_GRADE
    expected = [[rates.get(kind, overall) for kind in kinds] for kinds in scores["kinds"]]
    columns = [
        claim_columns(met, compliant, [Compliance.FULL if rate > 0.5 else Compliance.NONE for rate in row], grade)
        for met, compliant, row in zip(scores["met"], scores["exact_compliance"], expected, strict=True)
    ]
    rival = pd.DataFrame(columns, index=scores.index).assign(**{P_MET: pd.Series(expected, index=scores.index)})
    return scores.drop(columns={*SOMETIMES, *rival.columns}, errors="ignore").join(rival)
