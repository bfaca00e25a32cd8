"""Agents that take, refuse, give up or ignore what a rollout wants of them, each over a session of its own with a real hub."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from enum import StrEnum
from typing import Any

import grpc.aio

from contract.blobs import pack
from hub.clock import utc_now
from hub.release.keys import online_signer
from hub.store import agents
from hub.store.agents import AgentRecord
from seawall.hub.v1 import release_pb2, release_pb2_grpc, rollout_pb2
from seawall.hub.v1.rollout_pb2 import DesiredRelease, ReleaseReport
from tests.fakes.hub import Identity, RunningHub
from tests.fakes.hub_errors import reason_of
from tests.fakes.hub_session import FakeSession, Reachable, session
from tests.fakes.releases import Ceremony, index_of

PERPLEXITY = "perplexity_ratio"


class Way(StrEnum):
    """What an agent does with a version that it is told to take."""

    PROVE = "prove"
    REFUSE = "refuse"
    GIVE_UP = "give up"
    IGNORE = "ignore"


class ReleaseAgent:
    """One agent.

    Args:
        name: its id.
        ways: what it does, by version; any other: it proves it.
    """

    def __init__(self, name: str, ways: Mapping[str, Way] | None = None) -> None:
        self.name = name
        self.ways = ways or {}
        self.told: list[tuple[str, str]] = []
        self.serves = ""
        self.was_served: dict[str, str] = {}

    async def run(self, agent: FakeSession) -> None:
        """Does what it is told until the session ends."""
        await agent.hello()
        while True:
            response = await agent.call.read()
            if response is grpc.aio.EOF:
                return
            if response.HasField("desired_release"):
                await self._do(agent, response.desired_release)

    async def _do(self, agent: FakeSession, wish: DesiredRelease) -> None:
        self.told.append((DesiredRelease.Action.Name(wish.action), wish.model_version))
        if wish.action == DesiredRelease.GIVE_BACK:
            self.serves = self.was_served.get(wish.rollout, self.serves)
            await self._say(agent, wish, ReleaseReport.ROLLED_BACK)
            return
        way = self.ways.get(wish.model_version, Way.PROVE)
        if way == Way.IGNORE:
            return
        await self._say(agent, wish, ReleaseReport.FETCHING, done_bytes=1, total_bytes=2)
        if way == Way.REFUSE:
            await self._fail(agent, wish, ReleaseReport.REFUSED)
            return
        self.was_served.setdefault(wish.rollout, self.serves)
        self.serves = wish.model_version
        await self._say(agent, wish, ReleaseReport.ON_PROBATION)
        if way == Way.GIVE_UP:
            self.serves = self.was_served[wish.rollout]
            await self._fail(agent, wish, ReleaseReport.ROLLED_BACK)
            return
        await self._say(agent, wish, ReleaseReport.PROVEN, figures={"speed_ratio": 1.0, "escalation_share_rise": 0.0})

    async def _fail(self, agent: FakeSession, wish: DesiredRelease, state: ReleaseReport.State.ValueType) -> None:
        await self._say(agent, wish, state, failed_figure=PERPLEXITY, figures={PERPLEXITY: 3.0}, limits={PERPLEXITY: 1.5})

    async def _say(self, agent: FakeSession, wish: DesiredRelease, state: ReleaseReport.State.ValueType, **fields: Any) -> None:
        await agent.send(release=ReleaseReport(rollout=wish.rollout, model_version=wish.model_version, state=state, **fields))


async def enroll_all(hub: RunningHub, names: Iterable[str], **labels: str) -> dict[str, Identity]:
    """Enrols agents without asking for each: their rows, and their certificates, are as enrolment makes them."""
    from hub.api.identity import identify

    identities = {name: hub.issue("agent", name) for name in names}
    callers = {name: identify(one.certificate, hub.settings.trust_domain, utc_now()) for name, one in identities.items()}

    def work(connection: Any) -> None:
        for name, caller in callers.items():
            assert caller.valid_until is not None
            agents.insert(connection, AgentRecord(name, caller.key_hash, b"", utc_now(), caller.valid_until, labels=labels))

    await hub.hub.database.write(work)
    return identities


@asynccontextmanager
async def connected(hub: Reachable, agent: ReleaseAgent, identity: Identity) -> AsyncIterator[ReleaseAgent]:
    """Runs an agent until the block ends. A hub that is killed ends its session; one that ends it by itself fails the test."""
    async with session(hub, identity) as stream:
        task = asyncio.create_task(agent.run(stream))
        try:
            yield agent
        finally:
            task.cancel()
            [ended] = await asyncio.gather(task, return_exceptions=True)
            was_killed = isinstance(ended, grpc.aio.AioRpcError) and not reason_of(ended)
            if ended is not None and not was_killed and not isinstance(ended, asyncio.CancelledError):
                raise ended


@asynccontextmanager
async def fleet(
    hub: Reachable, identities: Mapping[str, Identity], ways: Mapping[str, Mapping[str, Way]] | None = None
) -> AsyncIterator[dict[str, ReleaseAgent]]:
    """Runs agents until the block ends."""
    async with AsyncExitStack() as stack:
        running = {}
        for name, identity in identities.items():
            agent = ReleaseAgent(name, (ways or {}).get(name))
            running[name] = await stack.enter_async_context(connected(hub, agent, identity))
        yield running


async def publish(hub: RunningHub, *versions: str, model: str = "tiny") -> list[str]:
    """Publishes versions of a model as an operator may; returns their names."""
    ceremony = Ceremony.held([online_signer(hub.folder.path).public_key])
    weights = b"weights"
    digest = hashlib.sha256(weights).hexdigest()
    indices = [index_of(weights, digest, model, version) for version in versions]
    targets = {index.path("models"): index.to_json() for index in indices}
    async with hub.channel(hub.operator) as channel:
        publisher: Any = release_pb2_grpc.PublisherServiceStub(channel)
        for role, content in ceremony.everything().items():
            await publisher.PublishMetadata(release_pb2.PublishMetadataRequest(role=role, content=content))
        upload = publisher.UploadBlobs(iter([release_pb2.UploadBlobsRequest(digest=digest, stored=pack(weights))]))
        assert [response.digest async for response in upload] == [digest]
        sent = [release_pb2.NewTarget(path=path, content=content) for path, content in targets.items()]
        content = ceremony.next("models", targets)
        await publisher.PublishMetadata(release_pb2.PublishMetadataRequest(role="models", content=content, targets=sent))
    return [f"models/{model}/versions/{version}" for version in versions]


def state_of(rollout: rollout_pb2.Rollout) -> str:
    return rollout_pb2.Rollout.State.Name(rollout.state)
