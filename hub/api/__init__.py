"""The gRPC side: one servicer a proto service, who may call what, and how errors look."""
