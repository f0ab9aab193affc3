"""Attention of a single new token against torch's own."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from confessions.engines import attention
from confessions.engines.transformers import TransformersEngine
from confessions.models import loading

B, H, T, D = 3, 6, 11, 4


@pytest.fixture
def tensors():
    """Query of one token, keys and values of 2 heads, and a mask with padding on the left and a gap."""
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(B, n, t, D, generator=generator) for n, t in ((H, 1), (2, T), (2, T)))
    mask = torch.ones(B, 1, 1, T, dtype=torch.bool)
    mask[0, ..., :4] = False
    mask[1, ..., 6:8] = False
    return query, key, value, mask


@torch.inference_mode()
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("along_sequence", [True, False])
@pytest.mark.parametrize("kernel", ["products", "scaled_dot_product_attention"])
def test_one_query_equals_torch(tensors, masked, along_sequence, kernel, monkeypatch):
    """Both kernels: the CPU's, and the one that a GPU takes."""
    monkeypatch.setattr(attention, "products", getattr(attention, kernel))
    query, key, value, mask = tensors
    if along_sequence:
        key, value = (t.transpose(-1, -2).contiguous().transpose(-1, -2) for t in (key, value))
    mask = mask if masked else None
    module = torch.nn.Module()
    module.num_key_value_groups = H // 2
    out, weights = attention.decoding_attention(module, query, key, value, mask, scaling=0.3)
    expected = scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=0.3, enable_gqa=True)
    assert weights is None
    assert out.shape == (B, 1, H, D)
    torch.testing.assert_close(out, expected.transpose(1, 2), atol=1e-6, rtol=1e-5)


def test_gradients_go_through_sdpa(tensors, monkeypatch):
    """A forward pass that is trained is transformers' own, a single query included."""
    calls = []
    monkeypatch.setattr(attention, "sdpa_attention_forward", lambda *args, **kwargs: calls.append(args) or (None, None))
    attention.decoding_attention(torch.nn.Module(), *tensors, scaling=1.0)
    assert len(calls) == 1
    with torch.inference_mode():
        query, *rest = tensors
        attention.decoding_attention(torch.nn.Module(), query.expand(-1, -1, 2, -1), *rest, scaling=1.0)
    assert len(calls) == 2


def test_the_engine_uses_it(model, tokenizer, random_nano):
    """A model with another implementation of its own keeps that one."""
    TransformersEngine(model, tokenizer)
    assert model.config._attn_implementation == attention.NAME
    eager = loading.load_model(random_nano, "float32")
    eager.set_attn_implementation("eager")
    TransformersEngine(eager, tokenizer)
    assert eager.config._attn_implementation == "eager"
