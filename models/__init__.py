"""Builds model bundles and measures them."""

import agent.inference  # noqa: F401  before anything here imports ONNX Runtime: it is told there not to report to its maker
