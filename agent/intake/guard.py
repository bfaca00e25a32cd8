"""Who may ask by HTTP: not every web page that a browser on this machine has open, and elsewhere only who has a key."""

import hashlib
import hmac

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from agent.intake.chat import write_error
from agent.intake.settings import HttpSettings, is_loopback
from contract.errors import NotAuthenticated, NotPermitted, Reason, SeawallError


class BrowserGuard:
    """Refuses, before anything else is looked at, what a browser sends for a page that was not allowed.

    A page of another origin can send requests to loopback, but its browser names the page in Origin (RFC 6454, section 7). A page whose
    own name was made to resolve to this machine is of the same origin, but its browser names it in Host.

    Args:
        app: what is guarded.
        settings: what is allowed.
    """

    def __init__(self, app: ASGIApp, settings: HttpSettings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or answers it with 403."""
        try:
            self._check(Headers(scope=scope))
        except SeawallError as error:
            await JSONResponse(write_error(error), error.http_status)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _check(self, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is not None and origin not in self._settings.allowed_origins:
            raise NotPermitted(
                Reason.ORIGIN_NOT_ALLOWED, "A web page may not call this server, unless its origin is in the setting allowed_origins."
            )
        if not self._host_allowed(_host_name(headers.get("host", ""))):
            raise NotPermitted(
                Reason.HOST_NOT_ALLOWED, "This server is not known by the name in the Host header: add it to the setting allowed_hosts."
            )

    def _host_allowed(self, host: str) -> bool:
        if host in self._settings.allowed_hosts or is_loopback(host):
            return True
        return not self._settings.on_loopback and not self._settings.allowed_hosts


def _host_name(header: str) -> str:
    host = header.lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].removesuffix(".")


def authenticated(headers: Headers, settings: HttpSettings) -> str:
    """Returns who asks: `http/` and the key's name; the slash keeps it apart from every client's name in a topic.

    Raises:
        NotAuthenticated: API_KEY_INVALID.
    """
    if not settings.keys:
        return "http/local"
    scheme, _, key = headers.get("authorization", "").partition(" ")
    digest = hashlib.sha256(key.strip().encode()).hexdigest()
    # All are compared, so that the time taken says nothing.
    names = [name for name, known in settings.keys.items() if hmac.compare_digest(known, digest)]
    if scheme.lower() != "bearer" or not names:
        raise NotAuthenticated(
            Reason.API_KEY_INVALID, "The API key is missing or wrong: send 'Authorization: Bearer KEY' with a key that this agent knows."
        )
    return f"http/{names[0]}"
