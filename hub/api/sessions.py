"""seawall.hub.v1.SessionService."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from time import monotonic
from typing import Any

import grpc.aio
from google.protobuf.duration_pb2 import Duration

from contract.errors import InvalidRequest, Reason
from contract.identity import agent_name
from hub.api.identity import CALLER
from hub.clock import Clock
from hub.fleet.authorities import Authorities
from hub.fleet.fleet import Fleet
from hub.fleet.messages import timestamp
from hub.fleet.sessions import Session
from seawall.hub.v1 import session_pb2, session_pb2_grpc
from seawall.hub.v1.escalation_pb2 import HubProfile

HELLO_SECONDS = 30
"""Within which the first message must come: a stream that says nothing is held for nobody."""

LOST = -1
"""The generation of an agent that has lost what it ran by. None that is wanted is equal to it, and so what is wanted is sent."""


class SessionServicer(session_pb2_grpc.SessionServiceServicer):
    """Holds the agents' streams: one task each, that waits for the agent's next message.

    Args:
        fleet: the sessions, and what is kept of them.
        authorities: that agents are told of.
        clock: the time, in UTC.
        heartbeat_interval: that agents are told.
        profile: of this hub, for agents' policies.
    """

    def __init__(
        self, fleet: Fleet, authorities: Authorities, clock: Clock, heartbeat_interval: timedelta, profile: HubProfile | None = None
    ) -> None:
        self._fleet = fleet
        self._authorities = authorities
        self._clock = clock
        self._profile = profile
        self._heartbeat_interval = Duration()
        self._heartbeat_interval.FromTimedelta(heartbeat_interval)

    async def Connect(  # type: ignore[override]  # noqa: N802  # the stubs know generators alone; the proto's name
        self, request_iterator: AsyncIterator[session_pb2.ConnectRequest], context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        """See the proto. Reads and writes through the context, so that a heartbeat is answered where it is read."""
        del request_iterator
        caller = CALLER.get()
        agent_id = caller.name
        hello = await _read_hello(context)
        with self._fleet.sessions.open(agent_id, context.write, hello.applied_generation, caller.valid_until) as session:
            try:
                await self._fleet.reports.greeted(agent_id, caller.key_hash, hello)
                self._fleet.presence.connected(agent_id)
                told = await self._welcome(session)
                await self._serve(session, told, context)
            finally:
                self._fleet.presence.left(agent_id)
                self._fleet.directory.note(agent_id)

    async def _welcome(self, session: Session) -> tuple[str, ...]:
        """Returns the CAs that the agent is told of."""
        told = self._authorities.trust.key_hashes
        hub_time = timestamp(self._clock())
        welcome = session_pb2.Welcome(heartbeat_interval=self._heartbeat_interval, hub_time=hub_time, ca_key_hashes=told, hub=self._profile)
        await session.send(session_pb2.ConnectResponse(welcome=welcome))
        session.ready = True
        self._fleet.delivery.mark([session.agent_id])
        return told

    async def _serve(self, session: Session, told: tuple[str, ...], context: grpc.aio.ServicerContext[Any, Any]) -> None:
        while (request := await context.read()) is not grpc.aio.EOF:
            session.heard_at = monotonic()
            CALLER.get().check_validity(self._clock())
            kind = request.WhichOneof("message")
            if kind == "heartbeat":
                told = await self._tell_authorities(session, told)
                self._fleet.directory.note(session.agent_id)
                self._fleet.sessions.counts.heartbeats += 1
                await session.send(session_pb2.ConnectResponse(heartbeat=session_pb2.HeartbeatReply(number=request.heartbeat.number)))
            elif kind == "configuration":
                await self._configured(session, request.configuration)
            elif kind == "command":
                await self._commanded(session, request.command)
            elif kind == "release":
                await self._fleet.release_reports.keep(session.agent_id, request.release)
            elif kind == "report":
                await self._fleet.reports.reported(session.agent_id, request.report)
            else:
                raise _invalid("After Hello come heartbeats, outcomes and reports.")

    async def _tell_authorities(self, session: Session, told: tuple[str, ...]) -> tuple[str, ...]:
        """Tells an agent of CAs that have changed. Heartbeats come at different times, so that not all agents renew at once.

        Raises:
            NotAuthenticated: CERTIFICATE_INVALID, the CA of the agent's certificate is trusted no more.
        """
        present = self._authorities.trust.key_hashes
        if present != told:
            self._authorities.check(CALLER.get().issuer_key_id)
            await session.send(session_pb2.ConnectResponse(authorities=session_pb2.Authorities(ca_key_hashes=present)))
        return present

    async def _configured(self, session: Session, outcome: session_pb2.ConfigurationOutcome) -> None:
        await self._fleet.reports.configured(session.agent_id, outcome)
        await session.send(session_pb2.ConnectResponse(outcome_received=session_pb2.OutcomeReceived(generation=outcome.generation)))

    async def _commanded(self, session: Session, outcome: session_pb2.CommandOutcome) -> None:
        agent, _, command_id = outcome.name.partition("/commands/")
        if agent != agent_name(session.agent_id) or not command_id:
            raise _invalid("An agent reports its own commands, by their names.")
        await self._fleet.reports.commanded(session.agent_id, command_id, outcome)
        await session.send(session_pb2.ConnectResponse(outcome_received=session_pb2.OutcomeReceived(command=outcome.name)))


async def _read_hello(context: grpc.aio.ServicerContext[Any, Any]) -> session_pb2.Hello:
    try:
        async with asyncio.timeout(HELLO_SECONDS):
            request = await context.read()
    except TimeoutError as error:
        raise _invalid(f"No Hello came within {HELLO_SECONDS} seconds.") from error
    if request is grpc.aio.EOF or request.WhichOneof("message") != "hello":
        raise _invalid("A session begins with Hello.")
    if request.hello.applied_generation < LOST:
        raise _invalid(f"A generation is not negative, but for {LOST}.")
    hello: session_pb2.Hello = request.hello
    return hello


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest(Reason.SESSION_INVALID, why)
