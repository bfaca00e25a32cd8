"""The operator's commands, one file a resource. All of them ask a running hub."""
