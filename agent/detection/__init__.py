"""What is found in a prompt: by patterns, by checksums, by a tagger, and where."""

import agent.inference  # noqa: F401  # ONNX Runtime is told to report nothing before it is imported here
