"""Measures a bundle against references that were computed without it."""
