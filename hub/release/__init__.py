"""What the hub distributes: signed metadata, and the blobs that it names."""
