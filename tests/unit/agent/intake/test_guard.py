import hashlib

import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from agent.intake.guard import BrowserGuard, authenticated
from agent.intake.settings import HttpSettings
from contract.errors import NotAuthenticated, Reason

KEYS = {name: hashlib.sha256(f"{name}-key".encode()).hexdigest() for name in ("panel", "kiosk")}
OPEN = HttpSettings(host="0.0.0.0", keys=KEYS)


async def hello(_request: Request) -> Response:
    return PlainTextResponse("hello")


def status(settings: HttpSettings, headers: dict[str, str]) -> int:
    guarded = BrowserGuard(Starlette(routes=[Route("/", hello)]), settings)
    return TestClient(guarded, base_url="http://127.0.0.1").get("/", headers=headers).status_code


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "LocalHost.", "127.0.0.1:1", "[::1]", "[::1]:8080"])
def test_loopback_is_known_by_its_own_names(host: str) -> None:
    assert status(HttpSettings(), {"host": host}) == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "", "[::2]"])
def test_a_name_that_was_made_to_resolve_to_loopback_is_refused(host: str) -> None:
    assert status(HttpSettings(), {"host": host}) == 403


def test_names_can_be_allowed() -> None:
    assert status(HttpSettings(allowed_hosts=("gateway.local",)), {"host": "gateway.local:8080"}) == 200
    assert status(OPEN, {"host": "anything.example"}) == 200
    closed = HttpSettings(host="0.0.0.0", keys=KEYS, allowed_hosts=("gateway.local",))
    assert status(closed, {"host": "gateway.local"}) == 200
    assert status(closed, {"host": "anything.example"}) == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:3000", "http://127.0.0.1:8080"])
def test_web_pages_are_refused_on_loopback_and_elsewhere(origin: str) -> None:
    assert status(HttpSettings(), {"origin": origin}) == 403
    assert status(OPEN, {"origin": origin}) == 403


def test_an_origin_can_be_allowed() -> None:
    settings = HttpSettings(allowed_origins=("https://panel.example",))
    assert status(settings, {"origin": "https://panel.example"}) == 200
    assert status(settings, {"origin": "https://panel.example.evil.example"}) == 403


def test_without_keys_everybody_is_the_local_client() -> None:
    assert authenticated(Headers({}), HttpSettings()) == "http/local"


@pytest.mark.parametrize("header", ["Bearer panel-key", "bearer panel-key", "Bearer  panel-key "])
def test_a_key_tells_who_asks(header: str) -> None:
    assert authenticated(Headers({"authorization": header}), OPEN) == "http/panel"


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic panel-key", "panel-key", "Bearer " + KEYS["panel"]]
)
def test_without_a_right_key_nobody_is_let_in(header: str | None) -> None:
    with pytest.raises(NotAuthenticated) as refused:
        authenticated(Headers({} if header is None else {"authorization": header}), OPEN)
    assert refused.value.reason == Reason.API_KEY_INVALID
    assert "wrong-key" not in refused.value.message
