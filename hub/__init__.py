"""The central service: enrols agents, and escalates their prompts."""
