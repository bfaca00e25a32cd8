"""All that agent and hub must agree on. No input or output, no clock; randomness is handed in."""
