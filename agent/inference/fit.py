"""Makes the settings fit the machine before anything is loaded: a clear refusal is better than the kernel's."""

from collections.abc import Sequence
from dataclasses import replace

from agent.inference.settings import EngineSettings
from contract.bundle import Bundle, Shape
from contract.errors import NotPossibleNow, Reason

WORKING_SET_BYTES = 130 << 20
"""ONNX Runtime, the tokenizer and one run's activations: 120 MB measured with a 135-million-parameter model and a vocabulary of 49,152."""

_FLOAT_BYTES = 4
_MEBIBYTE = 1 << 20


def cache_bytes_per_token(shape: Shape) -> int:
    """Returns what one token takes in the key/value cache."""
    return 2 * shape.layers * shape.kv_heads * shape.head_dim * _FLOAT_BYTES


def fit_memory(settings: EngineSettings, bundle: Bundle, free_bytes: int) -> EngineSettings:
    """Returns settings whose worst case fits: every slot full, every prefix kept. Slots are given up first, down to one.

    Raises:
        NotPossibleNow: MEMORY_TOO_SMALL, not even one slot fits.
    """
    context_tokens = min(settings.context_tokens, bundle.shape.context_tokens)
    token_bytes = cache_bytes_per_token(bundle.shape)
    # ONNX Runtime packs the weights into memory of its own; the file's pages can be dropped.
    fixed_bytes = sum(entry.size_bytes for entry in bundle.files.values()) + WORKING_SET_BYTES
    prefix_bytes = min(settings.prefix_tokens, settings.prefix_rows * context_tokens) * token_bytes
    slot_bytes = context_tokens * token_bytes
    slots = min(settings.slots, (free_bytes - fixed_bytes - prefix_bytes) // slot_bytes)
    if slots < 1:
        needed = -(-(fixed_bytes + prefix_bytes + slot_bytes) // _MEBIBYTE)
        raise NotPossibleNow(
            Reason.MEMORY_TOO_SMALL,
            f"The model {bundle.name} needs {needed} MiB with a context of {context_tokens} tokens; {free_bytes // _MEBIBYTE} MiB are free."
            " Choose a smaller model, a shorter context, or allow more memory.",
        )
    return replace(settings, context_tokens=context_tokens, slots=slots)


def fits_beside(settings: EngineSettings, bundle: Bundle, free_bytes: int) -> bool:
    """Says whether a model fits, with every slot that is wanted, into what another one has left free."""
    try:
        return fit_memory(settings, bundle, free_bytes).slots == settings.slots
    except NotPossibleNow:
        return False


def choose_provider(wanted: Sequence[str], usable: Sequence[str]) -> str:
    """Returns the first execution provider that can be used.

    Raises:
        NotPossibleNow: CONFIG_INVALID, none is.
    """
    for provider in wanted:
        if provider in usable:
            return provider
    raise NotPossibleNow(
        Reason.CONFIG_INVALID,
        f"None of the execution providers {', '.join(wanted)} can be used here. Choose of: {', '.join(usable)}.",
    )
