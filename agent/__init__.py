"""The edge daemon: answers prompts on the device, and decides what may leave it."""
