"""Builds the tagger that finds persons, addresses, places and the like: synthetic text, training, an int8 graph."""
