"""The seal between the two spans, as properties: nothing of one side's reward reaches the other side's tokens."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from confessions.rollouts.spans import Spans, padded
from confessions.training.advantages import (
    ADVANTAGES,
    batch_advantages,
    centred,
    group_advantages,
    of_span,
    token_coefficients,
)

REWARD = st.floats(0, 1, width=32)
LENGTH = st.integers(1, 12)


@st.composite
def batches(draw):
    """Spans of B = P * G * K rollouts with their two columns of rewards and another draw of each; (G, K)."""
    n_generations, n_confessions = draw(st.integers(2, 4)), draw(st.integers(1, 3))
    n_answers = n_generations * draw(st.integers(1, 3))
    spans = [
        Spans(0, task + request, draw(LENGTH)) if copy else Spans(task, request, draw(LENGTH))
        for task, request in (draw(st.tuples(LENGTH, LENGTH)) for _ in range(n_answers))
        for copy in range(n_confessions)
    ]
    columns = [torch.tensor(draw(st.lists(REWARD, min_size=len(spans), max_size=len(spans)))) for _ in range(4)]
    return spans, (n_generations, n_confessions), columns


def coefficients(spans, groups, task_B, confession_B, forms=(group_advantages, group_advantages)):
    """(B, T) coefficients as the trainer adds them up."""
    n_generations, n_confessions = groups
    n_tokens = max(s.task + s.request + s.confession for s in spans)
    total = torch.zeros(len(spans), n_tokens)
    for rewards_B, masks, form, group in (
        (task_B, [s.task_mask() for s in spans], forms[0], groups),
        (confession_B, [s.confession_mask() for s in spans], forms[1],
         (n_confessions if n_confessions > 1 else n_generations, 1)),
    ):  # fmt: skip
        mask_BT = padded(masks, n_tokens)
        advantages_B = of_span(rewards_B, form, *group)
        total += token_coefficients(advantages_B, mask_BT, mask_BT.sum().item(), 7.0 * len(spans))
    return total


FORMS = st.tuples(st.sampled_from(list(ADVANTAGES.values())), st.sampled_from(list(ADVANTAGES.values())))


@given(batches(), FORMS)
def test_task_tokens_ignore_confession_rewards_bit_for_bit(batch, forms):
    spans, groups, (task_B, confession_B, _, other_B) = batch
    before = coefficients(spans, groups, task_B, confession_B, forms)
    after = coefficients(spans, groups, task_B, other_B, forms)
    mask = padded([s.task_mask() for s in spans], before.shape[1]).bool()
    assert torch.equal(before[mask], after[mask])


@given(batches(), FORMS)
def test_confession_tokens_ignore_task_rewards_bit_for_bit(batch, forms):
    spans, groups, (task_B, confession_B, other_B, _) = batch
    before = coefficients(spans, groups, task_B, confession_B, forms)
    after = coefficients(spans, groups, other_B, confession_B, forms)
    mask = padded([s.confession_mask() for s in spans], before.shape[1]).bool()
    assert torch.equal(before[mask], after[mask])


@given(batches())
def test_task_tokens_ignore_the_lengths_of_confessions_bit_for_bit(batch):
    spans, groups, (task_B, confession_B, _, _) = batch
    longer = [replace(s, confession=s.confession + 5) for s in spans]
    before = coefficients(spans, groups, task_B, confession_B)
    after = coefficients(longer, groups, task_B, confession_B)[:, : before.shape[1]]
    mask = padded([s.task_mask() for s in spans], before.shape[1]).bool()
    assert torch.equal(before[mask], after[mask])


@given(batches(), FORMS)
def test_an_answer_counts_once_however_many_confessions_it_has(batch, forms):
    """Its first row has the coefficients that it has by itself, but for the number of rows that TRL's loss divides by;
    the others have none on it."""
    spans, (n_generations, n_confessions), (task_B, confession_B, _, _) = batch
    total = coefficients(spans, (n_generations, n_confessions), task_B, confession_B, forms)
    first = slice(None, None, n_confessions)
    alone = coefficients(spans[first], (n_generations, 1), task_B[first], confession_B[first], forms)
    task = padded([s.task_mask() for s in spans], total.shape[1]).bool()
    in_alone = padded([s.task_mask() for s in spans[first]], alone.shape[1]).bool()
    assert int(task.sum()) == sum(s.task for s in spans[first])
    torch.testing.assert_close(total[task], n_confessions * alone[in_alone], rtol=1e-6, atol=0)


def test_several_confessions_are_the_group_of_their_rewards_and_the_answers_of_theirs():
    """P = 1, G = 2, K = 3."""
    task_B, confession_B = torch.tensor([0.0] * 3 + [1.0] * 3), torch.tensor([0.0, 0.5, 1.0, 0.2, 0.2, 0.8])
    assert of_span(task_B, centred, 2, 3).tolist() == [-0.5] * 3 + [0.5] * 3
    assert of_span(confession_B, centred, 3).tolist() == pytest.approx([-0.5, 0.0, 0.5, -0.2, -0.2, 0.4])


@given(batches())
def test_the_request_and_the_padding_have_no_coefficient(batch):
    spans, groups, (task_B, confession_B, _, _) = batch
    total = coefficients(spans, groups, task_B, confession_B)
    generated = padded([s.generated_mask() for s in spans], total.shape[1]).bool()
    assert (total[~generated] == 0).all()


@given(LENGTH, LENGTH, LENGTH)
def test_masks_partition_the_generated_tokens(task, request, confession):
    spans = Spans(task, request, confession)
    both = [a + b for a, b in zip(spans.task_mask(), spans.confession_mask(), strict=True)]
    assert both == spans.generated_mask()
    assert len(both) == task + request + confession
    assert sum(spans.task_mask()) == task
    assert sum(spans.confession_mask()) == confession


def test_span_boundaries_are_exact():
    spans = Spans(task=2, request=3, confession=1)
    assert spans.task_mask() == [1, 1, 0, 0, 0, 0]
    assert spans.confession_mask() == [0, 0, 0, 0, 0, 1]
    assert padded([spans.task_mask()], 8).tolist() == [[1, 1, 0, 0, 0, 0, 0, 0]]


def test_advantages_are_exact():
    advantages = group_advantages(torch.tensor([0.0, 1.0, 0.5, 0.5]), 2)
    half = 0.5 / (0.5**0.5 + 1e-4)
    assert advantages.tolist() == pytest.approx([-half, half, 0.0, 0.0])


def test_other_forms_are_exact():
    rewards_B = torch.tensor([0.0, 1.0, 0.5, 0.5])
    assert centred(rewards_B, 2).tolist() == [-0.5, 0.5, 0.0, 0.0]
    assert centred(torch.tensor([0.0, float("nan"), 1.0, 0.5, 0.5, 0.5]), 3).tolist() == [-0.5, 0.0, 0.5, 0.0, 0.0, 0.0]
    assert centred(torch.tensor([float("nan"), float("nan")]), 2).tolist() == [0.0, 0.0]
    assert torch.equal(batch_advantages(rewards_B, 2), group_advantages(rewards_B, 4))


@given(REWARD, st.integers(2, 9), st.integers(1, 3))
def test_a_group_of_equal_rewards_has_exactly_no_advantage(reward, n_generations, n_prompts):
    rewards_B = torch.full((n_generations * n_prompts,), reward)
    assert (group_advantages(rewards_B, n_generations) == 0).all()


def test_rewards_must_fill_their_groups():
    with pytest.raises(ValueError, match="5 rewards cannot be split into groups of 2"):
        group_advantages(torch.zeros(5), 2)


def test_a_long_confession_does_not_dilute_the_task():
    """The span's coefficients times 1 / normalizer sum to the advantage's token mean, whatever the other span's
    length."""
    advantages_B, normalizer = torch.tensor([1.0, 3.0]), 10.0
    mask_BT = padded([[1, 1, 0, 0], [1, 1, 1, 1]], 4)
    coefficients_BT = token_coefficients(advantages_B, mask_BT, mask_BT.sum().item(), normalizer)
    assert (coefficients_BT.sum() / normalizer).item() == pytest.approx((2 * 1.0 + 4 * 3.0) / 6)
