"""What the router needs of a provider.

Unavailable
└── ProviderFailed       it did not answer: try another one
    └── ProviderRefused  it works, and will not take this prompt: no reason to cut it off
"""

from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Protocol

import httpx2

from contract.errors import Reason, Unavailable
from hub.config import ProviderSettings
from hub.escalation.prompts import Escalation, Finish, TextDelta

REFUSED_STATUS = frozenset({400, 413, 422})
"""HTTP answers that blame the request."""


class ProviderFailed(Unavailable):
    """It did not answer.

    Args:
        error_type: a short constant for logs and metrics, such as `timeout` or `status_429`. Never the provider's words: they may quote
            the prompt.
    """

    def __init__(self, error_type: str) -> None:
        super().__init__(Reason.PROVIDERS_UNAVAILABLE, "The answer broke off at the provider. Ask again, or keep the local answer.")
        self.error_type = error_type


class ProviderRefused(ProviderFailed):
    """It will not take this prompt."""


class Provider(Protocol):
    """One place that answers."""

    @property
    def settings(self) -> ProviderSettings:
        """As configured."""
        ...

    def answer(self, escalation: Escalation) -> AsyncGenerator[TextDelta | Finish, None]:
        """Answers: any number of TextDeltas, then one Finish. Closing the iterator ends the work at the provider.

        Raises:
            ProviderFailed: at any point.
        """
        ...

    async def close(self) -> None:
        """Lets go of its connections."""
        ...


def failure_of_status(status: int) -> ProviderFailed:
    """Returns the error for an HTTP status."""
    if status < 300:  # told within a stream that had begun well
        return ProviderFailed("error_event")
    kind = ProviderRefused if status in REFUSED_STATUS else ProviderFailed
    return kind(f"status_{status}")


def timeouts(settings: ProviderSettings) -> httpx2.Timeout:
    """Returns the client's time-outs. The first token's is the router's."""
    return httpx2.Timeout(settings.timeout_seconds, connect=settings.connect_seconds)


def clean_text(value: object) -> str:
    """Returns a provider's text as text that can be sent on: a lone half of a surrogate pair becomes a question mark.

    Raises:
        TypeError: it is no text.
    """
    if not isinstance(value, str):
        raise TypeError("the provider sent something else where text belongs")
    return value.encode("utf-8", "replace").decode("utf-8")


@contextmanager
def reading() -> Iterator[None]:
    """Turns what the clients, which check no shapes, and we raise over an answer of another form into our error."""
    try:
        yield
    except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        raise ProviderFailed("malformed") from error
