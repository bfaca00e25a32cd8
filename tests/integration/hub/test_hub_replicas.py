"""Two processes' worth of hub on one PostgreSQL: what is done at one holds at the other."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from contract.errors import Reason
from seawall.hub.v1 import agent_pb2, certificate_pb2, certificate_pb2_grpc, command_pb2, event_pb2
from tests.fakes.fleet_agent import eventually
from tests.fakes.hub import Identity, RunningHub, certificate_request, running_hub
from tests.fakes.hub_errors import reason_of
from tests.fakes.hub_operator import Operator
from tests.fakes.hub_session import session
from tests.fakes.postgres import Postgres


@dataclass
class Pair:
    """Two hubs, and an operator at each."""

    a: RunningHub
    b: RunningHub
    at_a: Operator
    at_b: Operator


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres.create_database()


@pytest.fixture
async def pair(tmp_path: Path, url: str) -> AsyncIterator[Pair]:
    async with (
        running_hub(tmp_path / "hub", database_url=url) as a,
        running_hub(tmp_path / "hub", database_url=url) as b,
        a.channel(a.operator) as channel_a,
        b.channel(b.operator) as channel_b,
    ):
        yield Pair(a, b, Operator(channel_a), Operator(channel_b))


async def test_a_command_made_at_one_reaches_an_agent_at_the_other_and_its_result_is_seen_at_both(pair: Pair) -> None:
    async with session(pair.a, await pair.b.enroll("plant-7")) as agent:
        await agent.hello()
        made = await pair.at_b.command()
        assert (await agent.receive()).command.name == made.name
        await agent.report(made, command_pb2.Command.SUCCEEDED, "all is well")
    for operator in (pair.at_a, pair.at_b):
        found = await operator.commands.GetCommand(command_pb2.GetCommandRequest(name=made.name))
        assert (found.state, found.output) == (command_pb2.Command.SUCCEEDED, "all is well")


async def test_what_is_wanted_at_one_reaches_an_agent_at_the_other(pair: Pair) -> None:
    async with session(pair.a, await pair.a.enroll("plant-7")) as agent:
        await agent.hello()
        await pair.at_b.want("all", floor="internal")
        assert (await agent.receive()).desired_state.configuration.floor == "internal"


@pytest.mark.parametrize(("method", "reason"), [("SuspendAgent", Reason.AGENT_SUSPENDED), ("RetireAgent", Reason.AGENT_RETIRED)])
async def test_a_stream_at_one_ends_when_its_agent_is_shut_out_at_the_other(pair: Pair, method: str, reason: Reason) -> None:
    async with session(pair.a, await pair.a.enroll("plant-7")) as agent:
        await agent.hello()
        await getattr(pair.at_b.agents, method)(getattr(agent_pb2, f"{method}Request")(name="agents/plant-7"))
        async with asyncio.timeout(5):
            assert reason_of(await agent.ending()) == reason


async def test_a_session_at_one_ends_the_session_at_the_other_and_the_agent_stays_connected(pair: Pair) -> None:
    identity = await pair.a.enroll("plant-7")
    async with session(pair.a, identity) as first, session(pair.b, identity) as second:
        await first.hello()
        await second.hello()
        assert reason_of(await first.ending()) == Reason.SESSION_REPLACED
        made = await pair.at_a.command()
        assert (await second.receive()).command.name == made.name
        for operator in (pair.at_a, pair.at_b):
            assert (await operator.agent()).connected


async def test_both_say_alike_who_is_connected(pair: Pair) -> None:
    async def connected() -> list[bool]:
        return [(await operator.agent()).connected for operator in (pair.at_a, pair.at_b)]

    async def has_left() -> bool:
        return await connected() == [False, False]

    async with session(pair.a, await pair.a.enroll("plant-7")) as agent:
        await agent.hello()
        assert await connected() == [True, True]
        found = await pair.at_b.agents.ListAgents(agent_pb2.ListAgentsRequest(filter="connected = true"))
        assert [one.name for one in found.agents] == ["agents/plant-7"]
    await eventually(has_left)


async def recover(hub: RunningHub, old: Identity, nonce: bytes) -> None:
    """Asks for a new certificate with an old one's key."""
    key = serialization.load_pem_private_key(old.key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    request = certificate_request(ec.generate_private_key(ec.SECP256R1()))
    message = b"seawall-recovery-v1\0" + nonce + hashlib.sha256(request).digest()
    der = x509.load_pem_x509_certificate(old.certificate).public_bytes(serialization.Encoding.DER)
    async with hub.first_contact_channel() as channel:
        await certificate_pb2_grpc.RecoveryServiceStub(channel).RecoverCertificate(
            certificate_pb2.RecoverCertificateRequest(
                certificate=der, nonce=nonce, signature=key.sign(message, ec.ECDSA(hashes.SHA256())), certificate_request=request
            )
        )


async def test_a_nonce_of_one_is_good_once_at_the_other_and_then_at_none(pair: Pair) -> None:
    old = await pair.a.enroll("plant-7")
    async with pair.a.first_contact_channel() as channel:
        stub = certificate_pb2_grpc.RecoveryServiceStub(channel)
        nonce = (await stub.CreateRecoveryNonce(certificate_pb2.CreateRecoveryNonceRequest())).nonce
    outcomes = await asyncio.gather(*(recover(hub, old, nonce) for hub in (pair.a, pair.b, pair.a, pair.b)), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]
    assert len(refused) == 3
    assert {reason_of(error) for error in refused} == {Reason.RECOVERY_REFUSED}


async def test_a_watch_at_one_sees_every_event_of_both_in_order_while_both_write(pair: Pair) -> None:
    await pair.a.enroll("plant-7")
    watch = pair.at_a.events.WatchEvents(event_pb2.WatchEventsRequest(after_sequence=0))
    made = await asyncio.gather(*(operator.command() for _ in range(60) for operator in (pair.at_a, pair.at_b)))
    seen: list[event_pb2.Event] = []
    async with asyncio.timeout(20):
        while len(seen) < len(made) + 1:
            response = await watch.read()
            if response.HasField("event"):
                seen.append(response.event)
    watch.cancel()
    kept = (await pair.at_b.events.ListEvents(event_pb2.ListEventsRequest(page_size=1000))).events
    assert seen == list(kept)
    assert {event.subject for event in seen[1:]} == {command.name for command in made}


async def test_one_request_at_both_is_done_once(pair: Pair) -> None:
    await pair.a.enroll("plant-7")
    request = command_pb2.CreateCommandRequest(
        parent="agents/plant-7", command=command_pb2.Command(action=command_pb2.Command.RESTART), request_id=str(uuid4())
    )
    made = await asyncio.gather(*(operator.commands.CreateCommand(request) for operator in (pair.at_a, pair.at_b) for _ in range(10)))
    assert len({command.name for command in made}) == 1
    listed = await pair.at_b.commands.ListCommands(command_pb2.ListCommandsRequest(parent="agents/-"))
    assert len(listed.commands) == 1


async def test_of_changes_at_both_by_one_etag_one_wins(pair: Pair) -> None:
    await pair.a.enroll("plant-7")
    etag = (await pair.at_a.agent()).etag

    def label(operator: Operator, site: str) -> Any:
        agent = agent_pb2.Agent(name="agents/plant-7", labels={"site": site}, etag=etag)
        return operator.agents.UpdateAgent(agent_pb2.UpdateAgentRequest(agent=agent))

    calls = [label(operator, f"s{number}") for number in range(5) for operator in (pair.at_a, pair.at_b)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]
    assert len(refused) == 9
    assert {reason_of(error) for error in refused} == {Reason.ETAG_MISMATCH}


async def test_signals_are_heard_again_after_the_database_has_ended_all_connections(pair: Pair, postgres: Postgres, url: str) -> None:
    async with session(pair.a, await pair.a.enroll("plant-7")) as agent:
        await agent.hello()
        postgres.hang_up(url)
        await eventually(lambda: works(pair.at_b))
        async with asyncio.timeout(20):
            assert (await agent.receive()).HasField("command")


async def works(operator: Operator) -> bool:
    """Whether a command can be made: a connection that was ended is noticed by the first that uses it."""
    try:
        await operator.command()
    except grpc.aio.AioRpcError as error:
        if reason_of(error) != Reason.HUB_UNAVAILABLE:
            raise
        return False
    return True
