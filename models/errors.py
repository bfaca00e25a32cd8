"""The error of this package."""

from contract.errors import InvalidRequest, Reason


def unsupported(why: str) -> InvalidRequest:
    """Returns the error for a model that cannot be written.

    Args:
        why: the end of the sentence `This model cannot be written: …`, without its full stop.
    """
    return InvalidRequest(Reason.MODEL_SOURCE_INVALID, f"This model cannot be written: {why}.")
