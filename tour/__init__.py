"""The try on one machine: everything on loopback, and a walk through it."""
