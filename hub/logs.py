"""Logs: readable on a terminal, JSON elsewhere. Neither prompt text nor a token is ever a field."""

import logging
from typing import TextIO

import structlog

from contract.tracing import add_trace_id


def configure(stream: TextIO) -> None:
    """Sets up logging for the process.

    Args:
        stream: where to; JSON unless it is a terminal.
    """
    renderer: structlog.typing.Processor = structlog.dev.ConsoleRenderer() if stream.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            add_trace_id,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        logger_factory=structlog.WriteLoggerFactory(stream),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    logging.disable(logging.INFO)  # the providers' clients log whole requests when an environment variable tells them to
