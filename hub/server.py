"""The composition root: builds every part of the hub, and starts and stops it."""

import asyncio
import random
import secrets
import time
from collections.abc import Collection, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import timedelta
from types import TracebackType
from typing import Self

import grpc.aio
from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

from hub.api.certificates import CertificateServicer
from hub.api.enrollment import EnrollmentServicer
from hub.api.escalation import EscalationServicer
from hub.api.interceptors import Gate
from hub.api.join_tokens import JoinTokenServicer
from hub.audit.trail import Trail
from hub.audit.upkeep import kept_signed
from hub.audit.witnessing import Witnessing
from hub.clock import Clock, utc_now
from hub.config import Settings, split_address
from hub.escalation.admission import Admission
from hub.escalation.circuits import Circuits
from hub.escalation.metering import Meter
from hub.escalation.profile import hub_of
from hub.escalation.providers import create_provider
from hub.escalation.router import Router
from hub.escalation.ruling import Ruling, load_policy
from hub.fleet.enrollment import Enrollment, Randomness
from hub.fleet.fleet import Fleet
from hub.fleet.renewal import Renewal
from hub.folder import DataFolder, renew_server
from hub.learning.conducting import STAGES
from hub.learning.conductor import Conductor, Gather, Means
from hub.learning.grid import Grid
from hub.learning.opening import Learning, open_learning
from hub.learning.rosters import Rosters
from hub.learning.rounds import Here, Rounds
from hub.listeners import bind, cannot_listen, create_listener
from hub.measures import Calls
from hub.release.blobs import open_blobs
from hub.release.keys import online_key, online_signer
from hub.release.publishing import Publishing
from hub.release.repository import Repository
from hub.release.upkeep import kept_fresh
from hub.services import add_audit, add_fleet, add_introspection, add_learning, add_recovery, add_releases
from hub.store.database import Database
from hub.telemetry import HubCollector, Store
from hub.tracing import open_tracing
from hub.trust import LiveTrust
from seawall.hub.v1 import certificate_pb2_grpc, enrollment_pb2_grpc, escalation_pb2_grpc, join_token_pb2_grpc

MAX_ENROLLMENTS = 64
"""At once: anybody may knock there."""


class Hub:
    """One hub. `async with` starts and stops it.

    Args:
        folder: with its keys; `hub.folder.create` makes them.
        settings: as loaded.
        api_keys: of the providers, by name.
        clock: the time, in UTC.
        randomness: returns so many random bytes.
        gather: brings agents together for rounds, in place of Flower; None: Flower does, where the settings say so.
    """

    def __init__(
        self,
        folder: DataFolder,
        settings: Settings,
        api_keys: Mapping[str, str],
        clock: Clock = utc_now,
        randomness: Randomness = secrets.token_bytes,
        gather: Gather | None = None,
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._api_keys = api_keys
        self._clock = clock
        self._randomness = randomness
        self._gather = gather
        self._running = AsyncExitStack()
        self.database: Database
        self.learning: Learning | None = None
        self.enrollment_port = 0
        self.mtls_port = 0
        self.metrics_port = 0

    async def start(self) -> None:
        """Opens the database, then listens. The ports are known afterwards.

        Raises:
            NotPossibleNow: CONFIG_INVALID: no keys, no database, or an address is taken.
        """
        async with AsyncExitStack() as stack:
            self._folder.settle()
            renew_server(self._folder, self._folder.load_ca(self._settings.trust_domain, self._clock))
            trust = LiveTrust(self._folder, self._settings.trust_domain, self._clock)
            database = await asyncio.to_thread(Database.open, self._settings.database_url or self._folder.database_url)
            stack.callback(database.close)
            self.database = database
            registry = CollectorRegistry()
            ProcessCollector(registry=registry)
            await self._start_listeners(stack, trust, database, registry)
            self._start_metrics(stack, registry)
            self._running = stack.pop_all()

    async def _start_listeners(self, stack: AsyncExitStack, trust: LiveTrust, database: Database, registry: CollectorRegistry) -> None:
        limits, authorities = self._settings.limits, trust.authorities
        tracing = open_tracing(self._settings.telemetry, self._settings.trust_domain)
        stack.push_async_callback(asyncio.to_thread, tracing.close)
        here = Here(self._randomness(16).hex(), self._clock, self._randomness, random.SystemRandom())
        fleet = Fleet.create(database, limits, here.replica_id, self._clock)
        await stack.enter_async_context(fleet.running(limits))
        await stack.enter_async_context(trust.followed(fleet.journal))
        witnessing, trail = await self._start_audit(stack, fleet)
        enrollment = Enrollment(database, fleet.journal, authorities, timedelta(days=limits.agent_certificate_days), self._randomness)
        calls, circuits = Calls(), Circuits(limits)
        store = Store(database, self._clock, asyncio.get_running_loop())
        registry.register(HubCollector(calls, fleet, store.census, circuits.open_ones, self._folder.expiries))
        gate = Gate(authorities, fleet.directory, self._clock, calls)
        first_contact = create_listener(gate, limits, MAX_ENROLLMENTS)
        stack.push_async_callback(first_contact.stop, limits.stop_seconds)
        enrollment_pb2_grpc.add_EnrollmentServiceServicer_to_server(EnrollmentServicer(enrollment, authorities), first_contact)
        renewal = Renewal(fleet.journal, authorities, timedelta(days=limits.agent_certificate_days))
        add_recovery(first_contact, renewal, authorities, timedelta(days=limits.recovery_days), self._randomness)
        self.enrollment_port = bind(first_contact, self._settings.listeners.enrollment, trust.credentials(verify_client=False))
        await first_contact.start()
        known = create_listener(gate, limits)
        stack.push_async_callback(_stop, known, fleet, limits.stop_seconds)
        router = self._create_router(stack, Meter(registry, time.monotonic, tracing), circuits)
        add_audit(known, witnessing, trail, fleet)
        ruling = Ruling(load_policy(self._settings), hub_of(self._settings), fleet.directory)
        escalations = EscalationServicer(Admission(limits), ruling, fleet.quotas, router, trail, limits, fleet.delivery.call, tracing)
        escalation_pb2_grpc.add_EscalationServiceServicer_to_server(escalations, known)
        join_token_pb2_grpc.add_JoinTokenServiceServicer_to_server(JoinTokenServicer(enrollment), known)
        certificate_pb2_grpc.add_CertificateServiceServicer_to_server(CertificateServicer(renewal, authorities), known)
        add_fleet(known, fleet, authorities, self._settings, self._clock)
        await self._add_releases(stack, known, fleet, here)
        await add_introspection(known)
        self.mtls_port = bind(known, self._settings.listeners.mtls, trust.credentials(verify_client=True))
        await known.start()

    async def _start_audit(self, stack: AsyncExitStack, fleet: Fleet) -> tuple[Witnessing, Trail]:
        key = online_key(self._folder.path)
        providers = {provider.name: provider for provider in self._settings.providers}
        witnessing = Witnessing(fleet.database, fleet.journal, key, self._clock)
        await witnessing.start()
        trail = Trail(fleet.database, key, self._clock, providers)
        await stack.enter_async_context(kept_signed(trail, timedelta(days=self._settings.limits.audit_days)))
        return witnessing, trail

    async def _add_releases(self, stack: AsyncExitStack, server: grpc.aio.Server, fleet: Fleet, here: Here) -> None:
        repository = Repository(fleet.database, online_signer(self._folder.path), self._clock)
        blobs = open_blobs(self._settings.blobs_url, self._folder.path)
        publishing = Publishing(fleet.journal, repository, blobs, self._clock)
        add_releases(server, repository, blobs, publishing, self._settings.trust_domain)
        await stack.enter_async_context(kept_fresh(repository))
        rounds = await self._start_learning(stack, fleet, Rosters(fleet.database, blobs, self._settings.learning.roster), here)
        add_learning(server, rounds, self._settings.trust_domain)

    async def _start_learning(self, stack: AsyncExitStack, fleet: Fleet, rosters: Rosters, here: Here) -> Rounds:
        settings, means = self._settings.learning, await self._means(stack, fleet, rosters)
        rounds = Rounds(fleet.database, fleet.journal, rosters.newest, settings, here, is_on=means is not None)
        if means is not None:
            conductor = Conductor(fleet.database, fleet.journal, rounds, means, settings, here)
            await stack.enter_async_context(conductor.running())
        return rounds

    async def _means(self, stack: AsyncExitStack, fleet: Fleet, rosters: Rosters) -> Means | None:
        settings = self._settings.learning
        if self._gather is not None:
            return Means(self._gather, rosters.newest)
        if not settings.listen:
            return None
        carried = await stack.enter_async_context(open_learning(settings.listen, self._folder, fleet, self._clock, self._randomness))
        self.learning = carried

        def gather(agents: Collection[str]) -> AbstractAsyncContextManager[Grid]:
            return carried.transport.open(agents, (1 + len(STAGES)) * settings.stage_seconds, settings.stage_seconds)

        return Means(gather, rosters.newest, lambda: carried.role.is_held)

    def _create_router(self, stack: AsyncExitStack, meter: Meter, circuits: Circuits) -> Router:
        providers = [create_provider(settings, self._api_keys.get(settings.name, "")) for settings in self._settings.providers]
        router = Router(providers, circuits, meter)
        stack.push_async_callback(router.close)
        return router

    def _start_metrics(self, stack: AsyncExitStack, registry: CollectorRegistry) -> None:
        address = self._settings.listeners.metrics
        if not address:
            return
        host, port = split_address(address)
        try:
            server, thread = start_http_server(port, host, registry)
        except OSError as error:
            raise cannot_listen(address) from error
        self.metrics_port = server.server_port
        stack.callback(thread.join)
        stack.callback(server.server_close)
        stack.callback(server.shutdown)

    async def stop(self) -> None:
        """Lets what streams end, for a while, then ends everything."""
        await self._running.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None) -> None:
        await self.stop()


async def _stop(server: grpc.aio.Server, fleet: Fleet, seconds: float) -> None:
    """Stops listening first, so that agents whose sessions end do not come back at once; then lets answers end, for a while."""
    stopping = asyncio.ensure_future(server.stop(seconds))
    await asyncio.sleep(0)
    fleet.sessions.close()
    await stopping
