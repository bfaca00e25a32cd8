"""Measurements, each beside its peer in one run; the last line of each is JSON."""
