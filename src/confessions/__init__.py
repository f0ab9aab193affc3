"""Confessions: does training a separate, honesty-only channel make a small model report its own failures?"""
