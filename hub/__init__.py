"""The central service: enrols agents, and escalates their prompts."""

import os

os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # read when gRPC is imported; by default it tells every failed handshake on stderr
