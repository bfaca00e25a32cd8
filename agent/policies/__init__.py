"""The policy of this device: which one is in force, how signed ones come here, and what another one would change."""
