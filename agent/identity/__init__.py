"""Who the agent is: its key, its certificate, and how it got them."""
