"""Logs: readable on a terminal, JSON lines everywhere else. Never prompt text: no module passes it to a logger."""

import logging
import sys
import traceback
from collections import deque

import structlog

from contract.tracing import add_trace_id

_KEPT_LINES = 2000
_LONGEST_LINE_CHARACTERS = 2000


class Logs:
    """This process's logs: their level, and the latest lines, kept in memory for whoever may ask.

    Args:
        level: debug, info, warning or error.
    """

    def __init__(self, level: str) -> None:
        self._own_level = level
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._render = structlog.processors.JSONRenderer()
        self.set_level(None)

    def set_level(self, level: str | None) -> None:
        """Logs at another level from now on; None: its own."""
        number = logging.getLevelNamesMapping()[(level or self._own_level).upper()]
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(number))

    def latest(self, count: int) -> list[str]:
        """Returns the newest lines, oldest first, as JSON."""
        return list(self._lines)[-count:]

    def keep(self, logger: structlog.typing.WrappedLogger, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        """Keeps a line; structlog calls it."""
        self._lines.append(str(self._render(logger, method, dict(event)))[:_LONGEST_LINE_CHARACTERS])
        return event


def set_up_logs(level: str = "info", json_lines: bool | None = None) -> Logs:
    """Sets up structlog for this process.

    Args:
        level: debug, info, warning or error.
        json_lines: whether to write JSON; None: unless standard error is a terminal.
    """
    logs = Logs(level)
    as_json = not sys.stderr.isatty() if json_lines is None else json_lines
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            add_trace_id,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_words,
            logs.keep,
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    return logs


def _without_words(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Puts an error's type and frames in place of it: its words, and the variables of its frames, may hold a prompt."""
    given = event.pop("exc_info", None)
    error = given if isinstance(given, BaseException) else sys.exc_info()[1] if given else None
    if error is not None:
        event["error"] = type(error).__name__
        event["frames"] = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
    return event
