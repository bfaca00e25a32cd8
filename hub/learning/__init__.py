"""Rounds of learning: what carries them."""
