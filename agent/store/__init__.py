"""The agent's state, which must survive a power cut at any instruction."""
