"""Attention of the transformers engine: one new token a row on a CPU, where most of sampling is reading the cache.

torch's kernel for a CPU reads each head's keys and values at less than half the memory's speed when there is a single
query. Two batched products over tensors that lie along the sequence are nearly twice as fast, and query heads that
share a key-value head read it once. Everything else, training included, goes to transformers' `sdpa`.
"""

import torch
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
    if query.shape[2] != 1 or query.device.type != "cpu" or torch.is_grad_enabled():
        key, value = key.contiguous(), value.contiguous()
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    n_rows, n_heads, _, size = query.shape
    grouped = (query * (scaling or size**-0.5)).view(n_rows, key.shape[1], -1, size)  # (B, K, H/K, D)
    scores = grouped @ key.transpose(-1, -2)
    if attention_mask is not None:
        scores.masked_fill_(~attention_mask, -torch.inf)
    mixed = value.transpose(-1, -2) @ scores.softmax(-1).transpose(-1, -2)  # (B, K, D, H/K)
    return mixed.transpose(-1, -2).reshape(n_rows, 1, n_heads, size), None


def use(model: PreTrainedModel) -> None:
    """Let `model` attend this way if it would use `sdpa` otherwise."""
    if model.config._attn_implementation == "sdpa":
        AttentionInterface.register(NAME, decoding_attention)
        AttentionMaskInterface.register(NAME, sdpa_mask)
        model.set_attn_implementation(NAME)
