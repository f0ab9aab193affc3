"""Dual-span GRPO and the stages of post-training: rewards, advantages, the trainer, checkpoints.

Nothing here is about the workflow.
"""
