"""Which member key the hub keeps of an agent, and which it refuses."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from contract.identity import key_hash
from contract.secagg.possession import prove
from contract.tree_heads import public_der
from hub.fleet.events import Journal
from hub.fleet.lifecycle import Lifecycle
from hub.fleet.reports import Reports
from hub.store import agents
from hub.store.agents import AgentRecord
from hub.store.database import Database
from seawall.hub.v1.agent_pb2 import AgentReport, MemberKey
from seawall.hub.v1.session_pb2 import Hello

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KEY, OTHER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
HASH, OTHER_HASH = key_hash(public_der(KEY)), key_hash(public_der(OTHER))
CERTIFICATES = {"till-1": "1" * 64, "till-2": "2" * 64}
"""The hashes of certificates' keys, by agent."""

Key = ec.EllipticCurvePrivateKey


def said(key: Key, agent: str, certificate: str = "") -> MemberKey:
    return MemberKey(public_key=public_der(key), proof=prove(key, agent, certificate or CERTIFICATES[agent]))


class Scene:
    """Two agents, and what they say."""

    def __init__(self, database_url: str) -> None:
        self.database = Database.open(database_url)
        self.journal = Journal(self.database, lambda: NOW)
        self.reports = Reports(self.journal, "r1", lambda: NOW)
        self.lifecycle = Lifecycle(self.journal, lambda: NOW)

    async def enroll(self, agent: str) -> None:
        record = AgentRecord(agent, CERTIFICATES[agent], b"", NOW, NOW)
        await self.database.write(lambda connection: agents.insert(connection, record))

    async def greet(self, agent: str, member_key: MemberKey | None) -> None:
        await self.reports.greeted(agent, CERTIFICATES[agent], Hello(report=AgentReport(version="1", member_key=member_key)))

    async def say(self, agent: str, member_key: MemberKey | None) -> None:
        await self.reports.reported(agent, AgentReport(version="1", member_key=member_key))

    async def record(self, agent: str) -> AgentRecord:
        found = await self.database.read(lambda connection: agents.get(connection, agent))
        assert found is not None
        return found

    async def keys(self) -> tuple[str | None, str | None]:
        return (await self.record("till-1")).member_key_hash, (await self.record("till-2")).member_key_hash

    async def told(self) -> Sequence[tuple[str, str]]:
        return [(event.type, event.subject) for event in await self.journal.page(0, 100) if event.type.startswith("MEMBER_KEY")]


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[Scene]:
    made = Scene(database_url)
    for agent in CERTIFICATES:
        await made.enroll(agent)
    yield made
    made.database.close()


async def test_a_key_that_an_agent_has_shown_is_kept_and_is_in_no_report(scene: Scene) -> None:
    await scene.greet("till-1", said(KEY, "till-1"))
    await scene.greet("till-2", None)
    assert await scene.keys() == (HASH, None)
    alike = {(await scene.record(agent)).report for agent in CERTIFICATES}
    assert len(alike) == 1, "agents that are alike are counted together"
    assert await scene.told() == []


async def test_an_agent_cannot_say_that_anothers_key_is_its_own(scene: Scene) -> None:
    stolen = said(KEY, "till-1")
    for attempt in (
        stolen,
        MemberKey(public_key=stolen.public_key),
        MemberKey(public_key=stolen.public_key, proof=b"x"),
        said(KEY, "till-1", "2" * 64),
    ):
        await scene.say("till-2", attempt)
    assert await scene.keys() == (None, None)
    assert await scene.told() == [("MEMBER_KEY_REFUSED", "agents/till-2")] * 4
    await scene.greet("till-1", said(KEY, "till-1"))
    assert await scene.keys() == (HASH, None), "nobody has taken it meanwhile"


async def test_of_two_devices_with_one_key_the_second_is_refused_and_the_first_stays(scene: Scene) -> None:
    await scene.greet("till-1", said(KEY, "till-1"))
    await scene.greet("till-2", said(KEY, "till-2"))
    assert await scene.keys() == (HASH, None)
    assert await scene.told() == [("MEMBER_KEY_REFUSED", "agents/till-2")]


async def test_a_renewed_certificate_changes_nothing_and_either_of_its_keys_will_do(scene: Scene) -> None:
    await scene.greet("till-1", said(KEY, "till-1"))
    await scene.database.write(lambda connection: agents.change(connection, "till-1", key_hash="3" * 64, previous_key_hash="1" * 64))
    await scene.greet("till-1", said(KEY, "till-1", "3" * 64))
    assert await scene.keys() == (HASH, None)
    await scene.say("till-1", said(OTHER, "till-1", "1" * 64))
    assert await scene.keys() == (OTHER_HASH, None)


async def test_an_operator_sees_that_an_agent_has_another_key(scene: Scene) -> None:
    await scene.greet("till-1", said(KEY, "till-1"))
    await scene.say("till-1", said(KEY, "till-1"))
    assert await scene.told() == []
    await scene.say("till-1", said(OTHER, "till-1"))
    assert await scene.told() == [("MEMBER_KEY_CHANGED", "agents/till-1")]


async def test_a_key_that_is_refused_leaves_the_one_before(scene: Scene) -> None:
    await scene.greet("till-1", said(KEY, "till-1"))
    await scene.say("till-1", said(OTHER, "till-2"))
    assert await scene.keys() == (HASH, None)


async def test_an_agent_that_says_no_key_keeps_the_last_one_whether_it_greets_or_reports(scene: Scene) -> None:
    await scene.greet("till-1", said(KEY, "till-1"))
    for none in (None, MemberKey(), MemberKey(proof=b"x")):
        await scene.greet("till-1", none)
        await scene.say("till-1", none)
    assert await scene.keys() == (HASH, None)
    assert await scene.told() == []


async def test_another_key_is_an_event_also_where_none_was_said_in_between(scene: Scene) -> None:
    await scene.greet("till-1", said(KEY, "till-1"))
    await scene.say("till-1", None)
    await scene.say("till-1", said(OTHER, "till-1"))
    assert await scene.keys() == (OTHER_HASH, None)
    assert await scene.told() == [("MEMBER_KEY_CHANGED", "agents/till-1")]


async def test_a_retired_agents_key_is_free_for_its_device_under_another_name_and_it_takes_it_no_more(scene: Scene) -> None:
    await scene.greet("till-1", said(KEY, "till-1"))
    await scene.lifecycle.retire("till-1", "spiffe://seawall.test/operators/ann", "")
    assert await scene.keys() == (None, None)
    await scene.say("till-1", said(KEY, "till-1"))
    assert await scene.keys() == (None, None), "its session may go on for seconds"
    await scene.greet("till-2", said(KEY, "till-2"))
    assert await scene.keys() == (None, HASH)


async def test_a_suspended_agent_keeps_its_key_and_cannot_change_it(scene: Scene) -> None:
    await scene.greet("till-1", said(KEY, "till-1"))
    await scene.lifecycle.suspend("till-1", "spiffe://seawall.test/operators/ann", "")
    await scene.say("till-1", said(OTHER, "till-1"))
    assert await scene.keys() == (HASH, None)
