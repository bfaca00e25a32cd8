"""What a node does when the hub, or the way to it, is not as it should be."""

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.proto.fleet_pb2 import ActivateNodeResponse

from agent.learning.flower_child import Fleet, Over
from hub.clock import utc_now
from hub.learning.certificate import round_certificate

_, CERTIFICATE = round_certificate(x509.SubjectAlternativeName([x509.DNSName("hub.example.org")]), utc_now())


class Way:
    """Answers as it is told, one after the other; the last one for ever."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def node(way: Way, deadline_seconds: float = 20.0) -> Fleet:
    fleet = Fleet("hub.example.org:7446", CERTIFICATE, ec.generate_private_key(ec.SECP256R1()), deadline_seconds)
    fleet._client._client._transport = httpx.MockTransport(way)
    return fleet


def activated() -> httpx.Response:
    return httpx.Response(200, content=ActivateNodeResponse(node_id=7).SerializeToString())


def test_it_insists_until_the_hub_lets_it_in() -> None:
    request = httpx.Request("POST", "https://hub.example.org:7446/v1/fleet/activate-node")
    way = Way(httpx.ConnectError("down", request=request), httpx.Response(401), httpx.Response(503), activated())
    fleet = node(way)
    fleet.activate()
    assert len(way.asked) == 4
    assert fleet._node.node_id == 7


@pytest.mark.parametrize("status", [403, 410])
def test_it_leaves_when_it_is_told_to(status: int) -> None:
    way = Way(httpx.Response(status))
    with pytest.raises(Over):
        node(way).activate()
    assert len(way.asked) == 1


def test_it_gives_up_at_the_deadline() -> None:
    with pytest.raises(Over):
        node(Way(httpx.Response(401)), deadline_seconds=0.3).activate()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_it_is_led_nowhere_else(status: int) -> None:
    way = Way(httpx.Response(status, headers={"location": "http://192.168.0.1/"}), activated())
    with pytest.raises(httpx.HTTPStatusError):
        node(way).activate()
    assert way.asked == ["https://hub.example.org:7446/v1/fleet/activate-node"]
