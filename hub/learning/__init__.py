"""The hub's part in sums over the fleet: who is asked, what becomes of each round, and what was learnt."""
