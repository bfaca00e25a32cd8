"""What a client is told when its answer failed, and what is logged of it."""

import traceback

import structlog

from contract.errors import Reason, SeawallError

_log = structlog.get_logger("intake")


def refusal(error: BaseException, client: str) -> SeawallError:
    """Returns what to tell the client, and logs it.

    Args:
        error: what ended the answer. One that is not ours is a mistake in the agent: INTERNAL.
        client: who asked.
    """
    if isinstance(error, SeawallError):
        _log.info("prompt_refused", client=client, reason=error.reason)
        return error
    # Neither the error's message nor the values on its stack: there may be a prompt in them.
    frames = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
    _log.error("prompt_failed", client=client, error=type(error).__name__, frames=frames)
    return SeawallError(Reason.INTERNAL, "The agent failed at this prompt, by a mistake of its own: see its log.")
