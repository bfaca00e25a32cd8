"""The command line's way to the running agent: its own HTTP API on this device."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any

from agent.intake.settings import HttpSettings
from contract.errors import InvalidRequest, Reason, Unavailable


class LocalClient:
    """Asks the agent that runs here.

    Args:
        settings: where it listens.
        key: an API key, where the agent asks for one.
        timeout_seconds: between two pieces of an answer.
    """

    def __init__(self, settings: HttpSettings, key: str | None = None, timeout_seconds: float = 120.0) -> None:
        self._host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104 - compared, not bound
        self._port = settings.port
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._timeout_seconds = timeout_seconds

    def health(self) -> dict[str, Any]:
        """Returns what the agent says of itself.

        Raises:
            Unavailable: AGENT_UNAVAILABLE, no agent answers here.
        """
        with self._request("GET", "/healthz", None, {}) as response:
            health = json.loads(response.read().decode(errors="replace"))
        if not isinstance(health, dict):
            raise self._unavailable("something else listens there")
        return health

    def ask(self, text: str, conversation: str | None = None) -> Iterator[dict[str, Any]]:
        """Asks, and yields the chunks of the answer as OpenAI's API forms them.

        Raises:
            InvalidRequest: the agent refuses, in its own words.
            Unavailable: no agent answers here, or its answer breaks off.
        """
        body = {"model": "", "messages": [{"role": "user", "content": text}], "stream": True}
        headers = {"X-Seawall-Conversation": conversation} if conversation else {}
        with self._request("POST", "/v1/chat/completions", json.dumps(body), headers) as response:
            for line in response:
                data = line.decode(errors="replace").strip().removeprefix("data: ")
                if data == "[DONE]":
                    return
                if data.startswith("{"):
                    chunk = json.loads(data)
                    if "error" in chunk:
                        raise InvalidRequest(Reason.PROMPT_INVALID, str(chunk["error"]["message"]))
                    yield chunk
            raise self._unavailable("the answer broke off")

    @contextmanager
    def _request(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> Iterator[HTTPResponse]:
        """Sends a request. What goes wrong on the way, also while the response is read, becomes ours."""
        with closing(HTTPConnection(self._host, self._port, timeout=self._timeout_seconds)) as connection:
            try:
                _send(connection, method, path, body, {**self._headers, **headers})
                with connection.getresponse() as response:
                    if response.status not in (200, 503) or (response.status == 503 and path != "/healthz"):
                        raise InvalidRequest(Reason.PROMPT_INVALID, _message(response))
                    yield response
            except (OSError, HTTPException) as error:
                raise self._unavailable(str(error)) from error
            except json.JSONDecodeError as error:
                raise self._unavailable("something else listens there") from error

    def _unavailable(self, why: str) -> Unavailable:
        return Unavailable(
            Reason.AGENT_UNAVAILABLE, f"No agent answers at {self._host}:{self._port} ({why}): start it with seawall-agent run."
        )


def _send(connection: HTTPConnection, method: str, path: str, body: str | None, headers: dict[str, str]) -> None:
    try:
        connection.request(method, path, body, headers)
    except ValueError as error:
        raise InvalidRequest(
            Reason.FIELD_INVALID, "The conversation's id and the API key must be of printable Latin-1 characters."
        ) from error


def _message(response: HTTPResponse) -> str:
    text = response.read(10_000).decode(errors="replace")
    try:
        return str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {response.status}: {text[:200]}"
