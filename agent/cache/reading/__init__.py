"""How a question is read, so that two can be compared."""
