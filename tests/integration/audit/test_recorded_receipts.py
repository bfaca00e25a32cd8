"""Receipts that policy lets leave the site, from the device's store to what an auditor sees."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import grpc
import grpc.aio
import pytest

from agent.audit_client import MOST_RECEIPTS, record
from agent.hub_link import HubLink
from agent.recorder import Recorder
from agent.store.audit import LoggedReceipt, ReceiptStore
from agent.store.database import Database
from contract.errors import InvalidRequest, Reason, Unavailable
from contract.merkle import leaf_hash
from seawall.hub.v1 import audit_pb2
from tests.fakes.answerer import receipt
from tests.fakes.fleet_agent import eventually
from tests.fakes.hub import RunningHub, running_hub
from tests.fakes.tls import free_port
from tests.integration.audit.logs import AGE_SECONDS, moved, now
from tests.integration.audit.test_audit_log import Reader
from tests.integration.audit.test_witness import enrolled

SECRET = "SECRET-OF-THE-SITE"


class Site:
    """A device's store, and what sends its receipts."""

    def __init__(self, hub: RunningHub, link: HubLink, database: Database) -> None:
        self.hub = hub
        self.link = link
        self.database = database
        self.receipts = ReceiptStore(database, AGE_SECONDS)
        self.recorder = Recorder(self.receipts, link, random.Random(1))

    async def append(self, *names: str, may_record: bool = True) -> None:
        for name in names:
            await self.receipts.append("till", receipt(name), now().timestamp(), may_record)

    async def entries(self) -> list[audit_pb2.AuditEntry]:
        return await Reader(self.hub).entries(page_size=1000)

    async def recorded(self) -> list[str]:
        return [entry.request_id.removeprefix("receipt-") for entry in await self.entries()]


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Site]:
    async with running_hub(tmp_path / "hub") as hub:
        link, database = HubLink(await enrolled(hub)), Database(tmp_path / "agent.db")
        yield Site(hub, link, database)
        await link.close()
        database.close()


async def test_what_may_leave_is_shown_by_the_hub_and_what_may_not_stays(here: Site) -> None:
    await here.append(SECRET, may_record=False)
    await here.append("p1")
    await here.receipts.append("till", replace(receipt("sent"), route="escalated"), now().timestamp(), may_record=True)
    await here.recorder.send()
    (entry,) = await here.entries()
    assert (entry.agent, entry.request_id, entry.outcome, entry.receipt_number) == ("agents/plant-7", "receipt-p1", "ON_SITE", 1)
    assert (entry.data_class, list(entry.policy_ids), entry.model, entry.provider) == (1, ["confident"], "fake 1", "")
    listed = (await Reader(here.hub).run("list")).stdout
    exported = (await Reader(here.hub).run("export")).stdout
    assert "ON_SITE" in listed
    assert SECRET not in listed + exported
    assert "1 entries were logged" in (await Reader(here.hub).run("verify")).stdout


async def test_what_the_hub_has_but_did_not_acknowledge_is_sent_again_and_written_once(here: Site) -> None:
    await here.append("p1", "p2")
    waiting = await here.receipts.unrecorded(MOST_RECEIPTS)
    with here.link.use() as channel:
        await record(channel, here.link.identity, waiting)
    await here.append("p3")
    for _ in range(2):
        await here.recorder.send()
    assert await here.recorded() == ["p1", "p2", "p3"]


async def test_more_than_one_call_takes_go_in_several_and_in_order(here: Site) -> None:
    names = [f"p{number}" for number in range(2 * MOST_RECEIPTS + 1)]
    await here.append(*names)
    await here.recorder.send()
    assert await here.recorded() == names


async def test_while_the_hub_is_away_they_wait_and_go_when_it_is_back(here: Site) -> None:
    identity, tried = here.link.identity, list[float]()
    here.link.replace(moved(identity, f"127.0.0.1:{free_port()}"))

    async def sleep(seconds: float) -> None:
        tried.append(seconds)
        await asyncio.sleep(0)

    recorder = Recorder(here.receipts, here.link, random.Random(1), sleep=sleep)
    await here.append("p1")
    running = asyncio.create_task(recorder.run())
    await eventually(lambda: len(tried) > 1)
    assert recorder.trouble.startswith("HUB_UNAVAILABLE")
    assert min(tried) > 40
    here.link.replace(identity)
    await eventually(lambda: not recorder.trouble)
    await here.append("p2")

    async def both() -> bool:
        return await here.recorded() == ["p1", "p2"]

    await eventually(both)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_store_in_place_of_one_that_was_lost_hides_nothing_of_the_log_before(here: Site, tmp_path: Path) -> None:
    await here.append("p1")
    await here.recorder.send()
    database = Database(tmp_path / "new.db")
    anew = Site(here.hub, here.link, database)
    await anew.append("p2")
    await anew.recorder.send()
    assert [(entry.request_id, entry.receipt_number) for entry in await here.entries()] == [("receipt-p1", 0), ("receipt-p2", 0)]
    database.close()


async def test_what_an_auditor_reads_is_the_very_leaf_of_the_agents_log(here: Site) -> None:
    await here.append("p1")
    (waiting,) = await here.receipts.unrecorded(1)
    await here.recorder.send()
    (row,) = await here.database.run(lambda tables: tables.execute("SELECT hash FROM receipt_nodes WHERE level = 0").fetchall())
    assert leaf_hash(waiting.text.encode()) == row[0]
    assert waiting.text in (await here.entries())[0].leaf


@pytest.mark.parametrize(
    "bend",
    [
        lambda found: found[:0],
        lambda found: found * (MOST_RECEIPTS + 1),
        lambda found: [*found, replace(found[0], text=found[0].text + " ")],
        lambda found: [*found, replace(found[0], number=-1)],
    ],
)
async def test_of_a_call_that_is_wrong_nothing_is_written(here: Site, bend: Callable[[list[LoggedReceipt]], list[LoggedReceipt]]) -> None:
    await here.append("p1")
    with here.link.use() as channel, pytest.raises(InvalidRequest) as caught:
        await record(channel, here.link.identity, bend(await here.receipts.unrecorded(1)))
    assert caught.value.reason is Reason.FIELD_INVALID
    assert await here.entries() == []


async def test_a_hub_of_an_earlier_version_leaves_them_where_they_are(here: Site) -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await here.append("p1")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(Unavailable):
            await record(channel, here.link.identity, await here.receipts.unrecorded(1))
    await server.stop(0)
    assert len(await here.receipts.unrecorded(10)) == 1


async def test_a_store_that_cannot_be_used_is_told_and_ends_nothing(here: Site) -> None:
    await here.append("a")
    await here.database.run(lambda tables: tables.execute("ALTER TABLE receipts RENAME TO away"))
    sending = asyncio.create_task(here.recorder.run())
    await eventually(lambda: here.recorder.trouble.startswith(Reason.STORE_UNAVAILABLE))
    assert not sending.done()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await here.database.run(lambda tables: tables.execute("ALTER TABLE away RENAME TO receipts"))
    assert await here.recorder.send() == 1
