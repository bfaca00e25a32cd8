"""The model on the device: from messages to tokens.

ONNX Runtime's wheel reports the device to its maker from its import on, and keeps a file of it in the user's home, unless it is told not to
before that. Nothing may leave a site unasked, so everything that imports it imports this package first.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
