from collections.abc import Callable
from pathlib import Path

from transformers import PretrainedConfig

Make = Callable[[PretrainedConfig], Path]
"""Saves a model of a configuration, with its tokenizer, and returns the folder."""
