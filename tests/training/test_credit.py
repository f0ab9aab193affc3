"""Credit by line: which tokens a claim's reward reaches, and what it is normalised among."""

import math

import pytest
import torch

from confessions.models import loading
from confessions.prompts.report import written_findings
from confessions.training.advantages import centred, token_coefficients
from confessions.training.credit import entropy_bonus, line_advantages, lines_of_tokens


def test_a_token_is_paid_for_the_claim_on_its_line(random_nano):
    chat = loading.load_chat(random_nano, True)
    text = "So:\n" + written_findings(["last word night", "commas = 2"], [True, False])
    ids = chat.turn_ids("I check.", text)
    start = chat.split(ids).body_start
    about, claims = lines_of_tokens(chat, ids, start, "evidence", 2)
    spelt = {s: "".join(p for p, a in zip(chat.pieces(ids), about, strict=True) if a == s) for s in (0, 1)}
    assert spelt[0].strip() == "1. last word night -> met"
    assert spelt[1].strip() == "2. commas = 2 -> not met"
    assert about[:start] == [None] * start
    assert about[-1] is None  # the end of the turn is the report's
    assert [chat.tokenizer.decode(ids[at:]).split("\n")[0].strip()[:3] for at in claims] == ["met", "not"]
    assert lines_of_tokens(chat, ids, start, "evidence", 3) == ([None] * len(ids), [])  # not so many findings


def test_an_entropy_bonus_is_what_surprises_more_than_the_others():
    """And no more than a fair coin does: spelling a claim oddly earns nothing."""
    coin = math.log(2)
    assert entropy_bonus([[-0.25, -0.5], [], [-0.3]], 0.5) == [
        [pytest.approx(-0.05), pytest.approx(0.075)], [], [pytest.approx(-0.025)],
    ]  # fmt: skip
    assert entropy_bonus([[-coin, -4.0]], 2.0) == [[0.0, 0.0]]
    assert entropy_bonus([[], []], 0.5) == [[], []]


def test_advantages_of_lines_are_among_those_about_the_same_objective():
    nan = math.nan
    lines_BS = torch.tensor([[0.5, 0.0, nan], [0.0, 0.0, nan], [0.25, 1.0, 0.5], [0.25, 0.0, 0.0]])
    expected = torch.tensor([[0.5, 0, 0], [-0.5, 0, 0], [0, 1.5, 0.75], [0, -1.5, -0.75]])
    assert torch.allclose(line_advantages(lines_BS, centred, 2), expected)
    by_token_BT, mask_BT = torch.tensor([[0.0, 2.0, -1.0]]), torch.tensor([[0.0, 1.0, 1.0]])
    assert token_coefficients(by_token_BT, mask_BT, 2.0, 10.0).tolist() == [[0.0, 10.0, -5.0]]
