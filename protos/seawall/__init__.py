"""Code generated from the protos."""
