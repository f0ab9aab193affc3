"""What is imitated of a policy's own confessions: as many right lines of each class. Sampled: test_warm_start.py."""

import random

from confessions.training.own_confessions import balanced_lines


def scored(kinds: str, met: list[bool | None], claims: list[str] | None) -> dict:
    return {"kinds": list(kinds), "met": met, "claims": claims}


def test_right_lines_are_as_many_of_what_is_met_as_of_what_is_not():
    """Of kind a three met and one unmet are right, of b only met ones, of c one of each; one is not known."""
    scores = [
        scored("abc", [True, True, True], ["Full", "Full", "Full"]),
        scored("abc", [True, True, False], ["Full", "Full", "None"]),
        scored("aac", [True, False, None], ["Full", "None", "Full"]),
        scored("abc", [False, False, True], ["Full", "Partial", "None"]),
        scored("abc", [True, True, True], None),
    ]
    kept = balanced_lines(scores, random.Random(0))
    pairs = [(scores[n]["kinds"][s], scores[n]["met"][s]) for n, lines in enumerate(kept) for s in lines]
    assert sorted(pairs) == [("a", False), ("a", True), ("c", False), ("c", True)]
    assert kept[2] >= {1}
    assert kept[3:] == [set(), set()]
