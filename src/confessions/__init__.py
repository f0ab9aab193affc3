"""Confessions: does training a separate, honesty-only channel make a small model report its own failures?"""

__version__ = "0.1.0"
