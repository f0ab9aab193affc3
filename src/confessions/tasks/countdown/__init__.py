"""Countdown: a sum that reaches a target with given numbers. Its hack: a stated total that the sum does not have."""
