"""Where prompts come in: bytes to Prompt, and Answer to bytes."""
