"""Attention of the transformers engine where one new token a row is sampled: most of that time is reading the cache.

On a CPU, torch's kernel reads each head's keys and values at less than half the memory's speed when there is a single
query; two batched products over tensors that lie along the sequence are nearly twice as fast. Everywhere, query heads
that share a key-value head read it once: transformers' `sdpa` repeats it for each of them wherever there is a mask,
which on an H200 was three quarters of a decoding step of Qwen3-8B (docs/results/performance.md). Everything else,
training included, goes to `sdpa`.
"""

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "confessions_decoding"


def decoding_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **kwargs,
) -> tuple[torch.Tensor, None]:
    """query (B, H, Q, D), key and value (B, K, T, D), H a multiple of K; mask (B, 1, Q, T), True where seen.

    Returns (B, Q, H, D) and no attention weights.
    """
    n_rows, n_heads, n_queries, size = query.shape
    if n_queries != 1 or torch.is_grad_enabled():
        if query.device.type == "cpu":  # where the cache lies along the sequence
            key, value = key.contiguous(), value.contiguous()
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    grouped = query.view(n_rows, key.shape[1], -1, size)  # (B, K, H/K, D): a group's heads as that many queries
    attend = products if query.device.type == "cpu" else scaled_dot_product_attention
    mixed = attend(grouped, key, value, attn_mask=attention_mask, scale=scaling)
    return mixed.reshape(n_rows, 1, n_heads, size), None


def products(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attn_mask: torch.Tensor | None, scale: float | None
) -> torch.Tensor:
    """scaled_dot_product_attention by two products of matrices: (B, K, G, D), G queries of one token."""
    scores = (query * (scale or query.shape[-1] ** -0.5)) @ key.transpose(-1, -2)
    if attn_mask is not None:
        scores.masked_fill_(~attn_mask, -torch.inf)
    return (value.transpose(-1, -2) @ scores.softmax(-1).transpose(-1, -2)).transpose(-1, -2)


def use(model: PreTrainedModel) -> None:
    """Let `model` attend this way if it would use `sdpa` otherwise."""
    if model.config._attn_implementation == "sdpa":
        AttentionInterface.register(NAME, decoding_attention)
        AttentionMaskInterface.register(NAME, sdpa_mask)
        model.set_attn_implementation(NAME)
