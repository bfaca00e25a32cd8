"""Signed updates: what is offered, whether it may be believed, how it is brought here."""
