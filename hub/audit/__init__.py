"""Logs that only grow: agents', which the hub witnesses, and its own, of escalations."""
