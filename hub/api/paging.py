"""Pages of lists (AIP-158)."""

import base64
import binascii
from collections.abc import Iterable
from typing import TypeVar

from google.protobuf.message import Message

from contract.errors import InvalidRequest, Reason

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000

MAX_PAGE_BYTES = 2 * 1024 * 1024
"""Of a page's items: half of what a gRPC client takes in one message when it is told nothing else."""

M = TypeVar("M", bound=Message)


def page_size(wanted: int) -> int:
    """0 is the default, too much is cut.

    Raises:
        InvalidRequest: FIELD_INVALID, it is less than nothing.
    """
    if wanted < 0:
        raise InvalidRequest(Reason.FIELD_INVALID, "page_size must not be negative.")
    return min(wanted or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def fitting(messages: Iterable[M]) -> list[M]:
    """Returns the first of a page's items, as many as go into a message; one at least."""
    result: list[M] = []
    room = MAX_PAGE_BYTES
    for message in messages:
        room -= message.ByteSize()
        if result and room < 0:
            break
        result.append(message)
    return result


def page_token(last: str) -> str:
    """Returns the token of the page behind an item."""
    return base64.urlsafe_b64encode(last.encode()).decode()


def read_page_token(token: str) -> str:
    """Returns the item behind which the page begins; empty: the first page.

    Raises:
        InvalidRequest: PAGE_TOKEN_INVALID.
    """
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError) as error:
        raise invalid_page_token() from error


def read_number_token(token: str) -> int | None:
    """Returns the number behind which the page begins; None: the first page.

    Raises:
        InvalidRequest: PAGE_TOKEN_INVALID.
    """
    text = read_page_token(token)
    if not text:
        return None
    if not (text.isdigit() and len(text) < 19):
        raise invalid_page_token()
    return int(text)


def invalid_page_token() -> InvalidRequest:
    """Returns the error for a token that this hub has not made."""
    return InvalidRequest(Reason.PAGE_TOKEN_INVALID, "The page token is not one of this hub. Begin with the first page.")
