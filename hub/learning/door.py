"""The door of the Fleet API: leads each request to the front of the cohort that its node is in, and refuses the others unread."""

from base64 import b64encode
from collections.abc import Mapping

from hub.learning import flower
from hub.learning.answers import MOST_ANSWER_BYTES
from hub.learning.front import Front, Receive, Scope, Send

MOST_BODY_BYTES = MOST_ANSWER_BYTES + 1024
"""An object, and who brings it."""

MOST_OTHER_BODY_BYTES = 16 * 1024
"""Of all that brings no object: ids and a key. Ours take a tenth."""


class Door:
    """An ASGI application before those of all cohorts."""

    def __init__(self) -> None:
        self.fronts: dict[int, Front] = {}
        """By cohort."""

    def admit(self, front: Front, agent: str, public_key: bytes) -> None:
        """Lets an agent's node in with its cohort. A key that another agent has, in whichever cohort, is nobody's."""
        if self._front_of(b64encode(public_key)) is None:
            front.admit(agent, public_key)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in flower.PATHS:
            await _refuse(404, send)
            return
        headers = dict(scope["headers"])
        header = headers.get(flower.KEY_HEADER, b"")
        front = self._front_of(header)
        if front is None:
            await _refuse(401, send)
        elif status := 413 if _is_too_long(scope["path"], headers) else front.refusal_of(header):
            await _refuse(status, send)
        else:
            await front.answer(header, scope, receive, send)

    def _front_of(self, header: bytes) -> Front | None:
        return next((front for front in self.fronts.values() if front.knows(header)), None)


def _is_too_long(path: str, headers: Mapping[bytes, bytes]) -> bool:
    """A body in chunks has no length that holds, whatever another header says (RFC 9112, section 6.3)."""
    length = headers.get(b"content-length", b"")
    most_bytes = MOST_BODY_BYTES if path == flower.PUSH_OBJECT else MOST_OTHER_BODY_BYTES
    return b"transfer-encoding" in headers or not length.isdigit() or len(length) > 9 or int(length) > most_bytes


async def _refuse(status: int, send: Send) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"connection", b"close")]})
    await send({"type": "http.response.body", "body": b""})
