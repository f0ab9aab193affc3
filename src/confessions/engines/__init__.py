"""Samplers behind one interface: token-id prompts in; token ids, log-probabilities and finish reasons out."""

from confessions.engines.base import Completion, Engine, Sampling

__all__ = ["Completion", "Engine", "Sampling"]
