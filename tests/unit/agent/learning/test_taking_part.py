"""When an agent takes part in a round, and what it says when it does not."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, load_pem_public_key

from agent.learning.carrier import Answer, Target
from agent.learning.flower_place import FlowerPlace
from agent.learning.taking_part import TakingPart
from agent.store.commands import CommandEntry
from contract.errors import Reason, SeawallError, Unavailable
from hub.clock import utc_now
from hub.learning.certificate import round_certificate
from seawall.hub.v1.command_pb2 import LearningRound
from tests.fakes.fleet_agent import eventually

_, PEM = round_certificate(x509.SubjectAlternativeName([x509.DNSName("hub.example.org")]), utc_now())
DER = x509.load_pem_x509_certificate(PEM).public_bytes(Encoding.DER)


async def answer(message: bytes) -> bytes:
    return message


@dataclass
class Carrier:
    """Carries until it is released."""

    targets: list[tuple[Target, float]] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    fails: SeawallError | None = None

    async def carry(self, target: Target, _answer: Answer, deadline_seconds: float) -> None:
        self.targets.append((target, deadline_seconds))
        await self.released.wait()
        if self.fails is not None:
            raise self.fails


def word(**changes: Any) -> CommandEntry:
    told = LearningRound(**{"round_id": "ab" * 16, "port": 7446, "certificate": DER, **changes})
    if not told.HasField("deadline"):
        told.deadline.FromSeconds(60)
    return CommandEntry("agents/a1/commands/c1", 6, 0, 0.0, learning_round=told.SerializeToString())


FLOWER = FlowerPlace("python3", lambda: True, "apt install it")


def build(carrier: Carrier, *, enabled: bool = True, installed: bool = True, hub: str = "hub.example.org:7444") -> TakingPart:
    flower = replace(FLOWER, is_there=lambda: installed)
    return TakingPart(lambda: enabled, lambda: hub, lambda: answer, carrier.carry, flower)


@asynccontextmanager
async def running(part: TakingPart) -> AsyncIterator[None]:
    task = asyncio.create_task(part.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("fails", [None, Unavailable(Reason.HUB_UNAVAILABLE, "It was not carried.")])
async def test_after_each_round_memory_is_given_back_however_it_ended(fails: SeawallError | None) -> None:
    carrier, tidied = Carrier(fails=fails), list[str]()
    part = TakingPart(lambda: True, lambda: "hub:1", lambda: answer, carrier.carry, FLOWER, lambda: tidied.append(part.state))
    async with running(part):
        for count in (1, 2):
            await part.take(word())
            await eventually(lambda wanted=count: len(carrier.targets) == wanted)  # type: ignore[misc]
            assert len(tidied) == count - 1
            carrier.released.set()
            await eventually(lambda wanted=count: len(tidied) == wanted)  # type: ignore[misc]
            carrier.released.clear()
    assert all(state.startswith("waiting") for state in tidied)


async def refused(part: TakingPart, entry: CommandEntry) -> Reason:
    with pytest.raises(SeawallError) as caught:
        await part.take(entry)
    return caught.value.reason


class Secretive:
    """What answers one round."""

    async def answer(self, message: bytes) -> bytes:
        return message


@pytest.mark.parametrize("fails", [False, True])
async def test_what_answers_a_round_is_made_for_it_and_gone_when_it_is_over(fails: bool) -> None:
    made = list[weakref.ref[Secretive]]()

    def answering() -> Answer:
        secretive = Secretive()
        made.append(weakref.ref(secretive))
        return secretive.answer

    carrier = Carrier(fails=Unavailable(Reason.HUB_UNAVAILABLE, "Away.") if fails else None)
    part = TakingPart(lambda: True, lambda: "hub.example.org:7444", answering, carrier.carry, FLOWER)
    async with running(part):
        await part.take(word())
        await eventually(lambda: bool(carrier.targets))
        assert made[0]() is not None
        carrier.released.set()
        await eventually(lambda: part.state.startswith("waiting"))
        carrier.fails = None  # it remembers from where it was raised
        gc.collect()
        assert made[0]() is None
        await part.take(word())
        await eventually(lambda: len(made) == 2 and len(carrier.targets) == 2)


async def test_it_says_by_which_key_it_comes_and_goes_to_the_hub_that_it_knows() -> None:
    carrier = Carrier()
    part = build(carrier)
    async with running(part):
        public = load_pem_public_key((await part.take(word())).encode())
        await eventually(lambda: bool(carrier.targets))
    [(target, deadline_seconds)] = carrier.targets
    private = load_pem_private_key(target.node_key_pem, None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert private.public_key() == public
    assert (target.address, target.certificate_pem, deadline_seconds) == ("hub.example.org:7446", PEM, 60.0)
    assert "PRIVATE" not in repr(target)


async def test_each_round_has_a_key_of_its_own() -> None:
    carrier = Carrier()
    carrier.released.set()
    part = build(carrier)
    async with running(part):
        first = await part.take(word())
        await eventually(lambda: part.state == "waiting, last round: over")
        assert await part.take(word()) != first


async def test_a_hub_with_an_ipv6_address_is_reached_too() -> None:
    carrier = Carrier()
    part = build(carrier, hub="[::1]:7444")
    async with running(part):
        await part.take(word())
        await eventually(lambda: bool(carrier.targets))
    assert carrier.targets[0][0].address == "[::1]:7446"


@pytest.mark.parametrize(
    ("changes", "reason", "state"),
    [
        ({"enabled": False}, Reason.LEARNING_OFF, "off"),
        ({"installed": False}, Reason.LEARNING_UNAVAILABLE, "not installed: apt install it"),
    ],
)
async def test_an_agent_that_takes_no_part_says_why(changes: dict[str, Any], reason: Reason, state: str) -> None:
    carrier = Carrier()
    part = build(carrier, **changes)
    async with running(part):
        assert await refused(part, word()) is reason
        assert part.state == state
    assert not carrier.targets


async def test_a_second_round_is_refused_while_one_is_under_way() -> None:
    carrier = Carrier()
    part = build(carrier)
    async with running(part):
        await part.take(word())
        assert await refused(part, word()) is Reason.LEARNING_BUSY
        assert part.state == "in a round"
        carrier.released.set()
        await eventually(lambda: part.state == "waiting, last round: over")
        await part.take(word())


async def test_a_round_that_fails_is_said_and_the_next_one_is_taken() -> None:
    carrier = Carrier(fails=Unavailable(Reason.HUB_UNAVAILABLE, "It broke."))
    carrier.released.set()
    part = build(carrier)
    async with running(part):
        await part.take(word())
        await eventually(lambda: part.state == "waiting, last round: It broke.")
        await part.take(word())


@pytest.mark.parametrize("changes", [{"port": 0}, {"port": 65536}, {"certificate": b"none"}, {"certificate": b""}])
async def test_a_word_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    assert await refused(build(Carrier()), word(**changes)) is Reason.FIELD_INVALID


@pytest.mark.parametrize("seconds", [-1, 0, 1801, 10**9])
async def test_a_deadline_beyond_half_an_hour_is_refused(seconds: int) -> None:
    told = LearningRound(round_id="ab" * 16, port=7446, certificate=DER)
    told.deadline.seconds = seconds
    entry = CommandEntry("agents/a1/commands/c1", 6, 0, 0.0, learning_round=told.SerializeToString())
    assert await refused(build(Carrier()), entry) is Reason.FIELD_INVALID
