"""The hub as a witness, over gRPC: it signs what goes on from what it has signed, and nothing else."""

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf.timestamp_pb2 import Timestamp
from typer.testing import CliRunner

from agent.audit_client import get_record, witness
from agent.hub_link import HubLink
from agent.identity.authorities import ToldAuthorities
from agent.identity.files import Identity, IdentityFolder
from agent.identity.rotation import Rotation
from agent.store.audit import ReceiptStore
from agent.store.database import Database
from agent.store.heads import HeadStore, newest_head
from agent.witness import HeadKeeper, HeadTimes
from contract.errors import InvalidRequest, NotPossibleNow, Reason, SeawallError
from contract.tree_heads import TreeHead, public_der, sign_head
from hub.__main__ import app
from hub.audit.messages import read_head
from seawall.hub.v1 import agent_pb2, agent_pb2_grpc, audit_pb2, audit_pb2_grpc, event_pb2, event_pb2_grpc
from tests.fakes.answerer import receipt
from tests.fakes.fleet_agent import eventually, fleet_agent
from tests.fakes.hub import RunningHub, running_hub
from tests.fakes.hub_errors import reason_of
from tests.integration.audit.logs import AGE_SECONDS, device_key, fill, moved, now, rewrite

AGENT = "agents/plant-7"


class Device:
    """An agent's link and store."""

    def __init__(self, hub: RunningHub, identity: Identity, path: Path) -> None:
        self.hub = hub
        self.path = path
        self.client = "till"
        self.link = HubLink(identity)
        self.database = Database(path)

    async def fill(self, *counts: int) -> HeadKeeper:
        return await fill(self.database, self.link, *counts, client=self.client)

    async def refusal(self, *counts: int) -> SeawallError:
        with pytest.raises(SeawallError) as raised:
            await self.fill(*counts)
        return raised.value

    async def close(self) -> None:
        await self.link.close()
        self.database.close()


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[RunningHub]:
    async with running_hub(tmp_path / "hub") as running:
        yield running


@pytest.fixture
async def device(hub: RunningHub, tmp_path: Path) -> AsyncIterator[Device]:
    made = Device(hub, await enrolled(hub), tmp_path / "agent.db")
    yield made
    await made.close()


async def enrolled(hub: RunningHub) -> Identity:
    pair = await hub.enroll("plant-7")
    domain = hub.settings.trust_domain
    return Identity("plant-7", domain, hub.mtls_target, pair.key, pair.certificate, hub.ca_certificate, hub.enrollment_target)


@asynccontextmanager
async def copied(device: Device, path: Path) -> AsyncIterator[Device]:
    """The same device, from a copy of its disk."""
    with sqlite3.connect(device.path) as connection, sqlite3.connect(path) as copy:
        connection.backup(copy)
    connection.close()
    copy.close()
    other = Device(device.hub, device.link.identity, path)
    try:
        yield other
    finally:
        await other.close()


async def shown(hub: RunningHub) -> audit_pb2.WitnessedTreeHead:
    async with hub.channel(hub.operator) as channel:
        stub: Any = audit_pb2_grpc.AuditServiceStub(channel)
        found = await stub.GetTreeHead(audit_pb2.GetTreeHeadRequest(name=AGENT))
    assert isinstance(found, audit_pb2.WitnessedTreeHead)
    return found


async def happened(hub: RunningHub, kind: str) -> list[str]:
    async with hub.channel(hub.operator) as channel:
        stub: Any = event_pb2_grpc.EventServiceStub(channel)
        events = (await stub.ListEvents(event_pb2.ListEventsRequest())).events
    return [event.detail for event in events if event.type == kind]


async def test_each_head_is_witnessed_and_goes_on_from_the_last(device: Device) -> None:
    await device.fill(3, 1, 5)
    found = await shown(device.hub)
    kept = await device.database.run(newest_head)
    assert kept is not None
    assert (found.tree_head.size, read_head(found.tree_head), kept.size) == (9, kept.signed, 9)
    assert kept.witness is not None
    assert kept.witness.is_good(kept.signed)
    assert list(found.hub_keys) == [kept.witness.public_key]
    assert await happened(device.hub, "LOG_INCONSISTENT") == []


async def test_a_log_of_which_nothing_is_new_is_not_signed_again(device: Device) -> None:
    keeper = await device.fill(3)
    first = await shown(device.hub)
    await keeper.keep_once()
    assert await shown(device.hub) == first
    assert keeper.state == "3 receipts, witnessed by the hub"


async def test_a_fork_is_refused_kept_as_evidence_and_told_once(device: Device, tmp_path: Path) -> None:
    await device.fill(4)
    async with copied(device, tmp_path / "copy.db") as copy:
        await device.fill(2)
        copy.client = "other"
        error = await copy.refusal(4)
        assert (error.reason, "do not go on from the 6" in error.message) == (Reason.LOG_INCONSISTENT, True)
        assert (await copy.refusal(0)).reason is Reason.LOG_INCONSISTENT
        assert await happened(device.hub, "LOG_INCONSISTENT") == ["its 8 receipts do not go on from the 6 that were witnessed"]
        (evidence,) = (await shown(device.hub)).refused
        both = [read_head(evidence.tree_head), read_head(evidence.witnessed)]
        assert [head.head.size for head in both] == [8, 6]
        assert all(head.is_good() and head.public_key == public_der(device_key(copy.link.identity)) for head in both)
    await device.fill(1)
    assert (await shown(device.hub)).tree_head.size == 7


@pytest.mark.parametrize(
    ("keep", "why"), [(4, "it has 4 receipts, and 6 were witnessed"), (None, "its 6 receipts are others than the 6 that were witnessed")]
)
async def test_a_log_that_was_written_anew_and_signed_with_the_devices_key_is_refused(device: Device, keep: int | None, why: str) -> None:
    await device.fill(4, 2)
    device.database.close()
    rewrite(device.path, device.link.identity, lambda text: text.replace('"local"', '"cache"'), keep)
    device.database = Database(device.path)
    error = await device.refusal(0)
    assert (error.reason, why in error.message) == (Reason.LOG_INCONSISTENT, True)
    assert await happened(device.hub, "LOG_INCONSISTENT") == [why]
    assert (await shown(device.hub)).tree_head.size == 6


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        ("DELETE FROM receipt_heads", "its head of 7 receipts names none before it, and one of 6 was witnessed"),
        ("DELETE FROM receipt_heads WHERE size = 6", "its head of 7 receipts leaves out the one of 6 that was witnessed"),
    ],
)
async def test_a_log_whose_witnessed_heads_were_taken_away_is_refused(device: Device, damage: str, why: str) -> None:
    await device.fill(4, 2)
    await device.database.run(lambda tables: tables.execute(damage))
    error = await device.refusal(1)
    assert (error.reason, why in error.message) == (Reason.LOG_INCONSISTENT, True)
    assert await happened(device.hub, "LOG_INCONSISTENT") == [why]


async def test_heads_go_on_under_a_renewed_key_also_one_that_waited(device: Device, tmp_path: Path) -> None:
    keeper = await device.fill(3)
    store = ReceiptStore(device.database, AGE_SECONDS)
    await store.append("till", receipt("late"), now().timestamp())
    waiting = await keeper.seal()
    folder = IdentityFolder(tmp_path / "identity")
    folder.write(device.link.identity)
    before = public_der(device_key(device.link.identity))
    await Rotation(device.link, folder, now, random.Random(1), ToldAuthorities()).replace_once()
    await keeper.keep_once()
    found = await shown(device.hub)
    assert waiting is not None
    assert waiting.signed.public_key == before
    assert (found.tree_head.size, found.tree_head.public_key) == (4, public_der(device_key(device.link.identity)))
    assert found.tree_head.public_key != before


async def test_a_head_that_another_key_has_signed_is_no_heads(device: Device) -> None:
    await device.fill(3)
    head = TreeHead(AGENT, 5, b"r" * 32, now().replace(microsecond=0))
    foreign = sign_head(ec.generate_private_key(ec.SECP256R1()), head)
    bent = replace(sign_head(device_key(device.link.identity), head), head=replace(head, size=6))
    for signed in (foreign, bent):
        with device.link.use() as channel, pytest.raises(InvalidRequest) as raised:
            await witness(channel, device.link.identity, signed, 3, [b"p" * 32])
        assert raised.value.reason is Reason.LOG_SIGNATURE_INVALID
    assert (await shown(device.hub)).tree_head.size == 3


@pytest.mark.parametrize("wrong", ["another log", "empty", "root", "proof"])
async def test_a_head_that_cannot_be_is_refused_and_leaves_nothing(device: Device, wrong: str) -> None:
    key, head = device_key(device.link.identity), TreeHead(AGENT, 5, b"r" * 32, now().replace(microsecond=0))
    bent = {"another log": replace(head, log="agents/plant-8"), "empty": replace(head, size=0), "root": replace(head, root=b"short")}
    signed = sign_head(key, bent.get(wrong, head))
    with device.link.use() as channel, pytest.raises(InvalidRequest) as raised:
        await witness(channel, device.link.identity, signed, 0, [b"p" * 32] * (65 if wrong == "proof" else 0))
    assert raised.value.reason is Reason.FIELD_INVALID
    assert not (await shown(device.hub)).HasField("tree_head")


async def test_who_does_not_know_what_was_witnessed_last_is_not_accused(device: Device) -> None:
    await device.fill(3)
    await device.fill(2)
    kept = await device.database.run(newest_head)
    assert kept is not None
    with device.link.use() as channel, pytest.raises(SeawallError) as raised:
        await witness(channel, device.link.identity, kept.signed, 3, [])
    assert raised.value.reason is Reason.LOG_HEAD_MOVED
    assert await happened(device.hub, "LOG_INCONSISTENT") == []


async def test_an_agent_asks_for_its_own_log_alone(device: Device) -> None:
    await device.hub.enroll("plant-8")
    with device.link.use() as channel:
        stub: Any = audit_pb2_grpc.AuditServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.GetTreeHead(audit_pb2.GetTreeHeadRequest(name="agents/plant-8"))
        assert reason_of(raised.value) == "ROLE_NOT_ALLOWED"
        record = await get_record(channel, device.link.identity)
    assert (record.signed, record.size) == (None, 0)


async def test_a_device_that_was_enrolled_anew_may_begin_a_new_log_and_that_is_told(device: Device, tmp_path: Path) -> None:
    await device.fill(6)
    async with device.hub.channel(device.hub.operator) as channel:
        stub: Any = agent_pb2_grpc.AgentServiceStub(channel)
        await stub.RetireAgent(agent_pb2.RetireAgentRequest(name=AGENT))
    other = Device(device.hub, await enrolled(device.hub), tmp_path / "other.db")
    await other.fill(2)
    (detail,) = await happened(device.hub, "LOG_BEGUN_ANEW")
    assert "of the log before, 6 receipts were witnessed" in detail
    assert (await shown(device.hub)).tree_head.size == 2
    await other.fill(1)
    assert (await shown(device.hub)).tree_head.size == 3
    await other.close()


async def test_a_hub_that_is_away_delays_nothing_and_is_caught_up_with(device: Device) -> None:
    away = HubLink(moved(device.link.identity, "127.0.0.1:9"))
    store, heads = ReceiptStore(device.database, AGE_SECONDS), HeadStore(device.database, AGE_SECONDS)
    keeper = HeadKeeper(heads, store, "plant-7", away, now, random.Random(1), HeadTimes(receipts=2, seconds=3600))
    running = asyncio.create_task(keeper.run())
    for number in range(4):
        await store.append("till", receipt(f"p{number}"), now().timestamp())
    await eventually(lambda: keeper.state.startswith("HUB_UNAVAILABLE"))
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await away.close()
    await device.fill(0)
    assert (await shown(device.hub)).tree_head.size == 4


async def test_a_damaged_log_still_takes_receipts_and_says_what_is_wrong(device: Device) -> None:
    keeper = await device.fill(4)
    await device.database.run(lambda tables: tables.execute("DELETE FROM receipt_nodes WHERE level = 2"))
    store = ReceiptStore(device.database, AGE_SECONDS)
    await store.append("till", receipt("after"), now().timestamp())
    assert [row["prompt_id"] for row in await store.latest(1)] == ["after"]
    await device.database.run(lambda tables: tables.execute("DELETE FROM receipt_heads"))
    with pytest.raises(NotPossibleNow) as raised:
        await keeper.keep_once()
    assert raised.value.reason is Reason.LOG_DAMAGED


async def test_an_operator_has_receipts_proven_that_are_drawn_by_chance(device: Device, tmp_path: Path) -> None:
    runner = CliRunner(env={"SEAWALL_HUB_LISTENERS__MTLS": device.hub.mtls_target})
    arguments = ["audit", "challenge", "plant-7", "--data", str(device.hub.folder.path)]
    assert "Nothing of the log of plant-7 was witnessed yet" in str((await asyncio.to_thread(runner.invoke, app, arguments)).exception)
    await device.fill(5)
    async with fleet_agent(device.link.identity, tmp_path):
        result = await asyncio.to_thread(runner.invoke, app, arguments)
        assert (result.exit_code, "receipts are in the log of 5 that was witnessed" in result.stdout) == (0, True)
        await device.database.run(lambda tables: tables.execute("UPDATE receipt_nodes SET hash = zeroblob(32) WHERE level = 0"))
        result = await asyncio.to_thread(runner.invoke, app, arguments)
        assert (result.exit_code, "is not proven to be in the log that was witnessed" in result.stdout) == (1, True)


async def test_a_time_that_is_none_is_refused(device: Device) -> None:
    with device.link.use() as channel:
        stub: Any = audit_pb2_grpc.AuditServiceStub(channel)
        message = audit_pb2.TreeHead(log=AGENT, size=1, root=b"r" * 32, time=Timestamp(seconds=-(2**62)))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stub.WitnessTreeHead(audit_pb2.WitnessTreeHeadRequest(tree_head=message))
    assert reason_of(raised.value) == "FIELD_INVALID"
