"""Sets of stored answers: drawn to a share of met objectives, and asked so that each has exactly one fault."""

import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from confessions.rollouts import answers
from confessions.runtime.errors import InputError
from confessions.tasks import get
from confessions.tasks.base import PlantsFaults

KEPT = Path(__file__).parents[2] / "docs/results/data/instructions"


def shares(table: pd.DataFrame) -> float:
    return sum(map(sum, table["met"])) / sum(map(len, table["met"]))


@pytest.fixture
def pool() -> pd.DataFrame:
    """200 answers to six objectives each, some of which meet most and some few."""
    rng = np.random.default_rng(3)
    return pd.DataFrame({"met": [list(rng.random(6) < rng.beta(1.2, 1.4)) for _ in range(200)]})


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_set_has_the_share_of_met_objectives_that_was_asked_for(pool, share):
    drawn = answers.with_met_share(pool, 20, share, 1000)
    assert shares(drawn) == share
    assert drawn.index.is_monotonic_increasing
    assert drawn.index.is_unique
    assert list(drawn.index) == list(answers.with_met_share(pool, 20, share, 1000).index)
    assert list(drawn.index) != list(answers.with_met_share(pool, 20, share, 1001).index)


def test_the_share_is_met_to_the_nearest_objective(pool):
    """31 % of 60 objectives are 18.6."""
    assert sum(map(sum, answers.with_met_share(pool, 10, 0.31, 0)["met"])) == 19


def test_all_answers_are_a_set_where_they_have_the_share(pool):
    assert len(answers.with_met_share(pool, 200, shares(pool), 0)) == 200


@pytest.mark.parametrize(("n", "share"), [(150, 0.8), (201, 0.45)])
def test_too_few_answers_for_the_share(pool, n, share):
    with pytest.raises(InputError, match=f"of its 200 answers no {n} have {share:.0%} of their objectives met: lower"):
        answers.with_met_share(pool, n, share, 0)


@pytest.mark.parametrize("part", ["", "_development", "_test"])
def test_planted_answers_miss_exactly_one_requirement(part):
    """By the task's own truth; kinds and their order stay, and so do levels that need not change."""
    task = get(f"instructions{part}")
    table = answers.stored(str(KEPT / f"frozen_instructions{part}.parquet"), task, "evaluation")[:150]
    found = answers.with_one_fault(table, task, 25, 1000)
    faults = []
    for row in found.itertuples():
        was = table.loc[row.Index]
        assert row.y == was["y"]
        assert list(row.task_ids) == list(was["task_ids"])
        assert task.kinds(row.spec) == task.kinds(was["spec"])
        task.spec_model(**row.spec)
        met = list(task.verify(row.spec, row.y).met)
        assert met.count(False) == 1
        faults.append(met.index(False))
        pairs = zip(was["spec"]["requirements"], row.spec["requirements"], was["met"], met, strict=True)
        assert all(old == new for old, new, before, now in pairs if before == now)
    assert len(set(faults)) > 2
    assert list(found["spec"]) == list(answers.with_one_fault(table, task, 25, 1000)["spec"])


def test_an_answer_that_can_not_miss_exactly_one_is_passed_over():
    """An empty text misses everything."""
    task = get("instructions")
    assert isinstance(task, PlantsFaults)
    spec = task.specs("evaluation")[0]
    assert task.with_one_fault(spec, "[x] 1", random.Random(0)) is None
    table = pd.DataFrame({"spec": [spec] * 3, "y": ["[x] 1"] * 3})
    with pytest.raises(InputError, match="0 of its 3 answers can miss exactly one objective, not 2: lower rollouts"):
        answers.with_one_fault(table, task, 2, 0)
