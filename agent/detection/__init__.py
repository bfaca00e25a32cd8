"""What is found in a prompt: by patterns, by checksums, by a tagger, and where."""
