"""How the embedder's weights are made."""
