"""What a text means, as a vector."""

import agent.inference  # noqa: F401  # ONNX Runtime is told to report nothing before it is imported here
