"""The device's part in sums over the fleet: its own rules, what it reports, and what it remembers of having reported it."""
