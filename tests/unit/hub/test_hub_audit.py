"""The hub's log of escalations, without a hub: what is told, what it costs, a store that is away, on both engines."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection
from structlog.testing import capture_logs

from contract.classification import DataClass
from contract.errors import NotPossibleNow, Reason, Unavailable
from contract.tree_heads import public_der
from hub.audit.check import check_log
from hub.audit.entries import ANSWERED, Entry, cost_micros, entry_of
from hub.audit.recording import recorded
from hub.audit.trail import Trail
from hub.config import ProviderSettings
from hub.escalation.prompts import Completion, Escalation, Finish, TextDelta, Turn
from hub.store import audit, heads
from hub.store.audit import Chosen
from hub.store.database import Database
from hub.store.tables import audit_nodes
from tests.fakes.provider import FakeProvider

T = TypeVar("T")

NOW = datetime(2026, 11, 28, 12, 0, 0, 123456, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
SETTINGS = FakeProvider("house", []).settings
PRICED = SETTINGS.model_copy(update={"input_price_per_million_tokens": 3.0, "output_price_per_million_tokens": 15.0})
ESCALATION = Escalation(
    "id-1", "plant-7", (Turn("user", "SECRET-PROMPT"),), frozenset(), DataClass.INTERNAL, 10, 0.0, data_kinds=("EMAIL",), policy_ids=("p",)
)
DONE = Completion("house", "private", "oslo", Finish("m-1", 1000, 20, "stop"))
ENTRY = entry_of(ESCALATION, DONE, ANSWERED, NOW, {"house": PRICED})


class AwayDatabase(Database):
    """One that can be away."""

    away = False

    async def write(self, work: Callable[[Connection], T]) -> T:
        if self.away:
            raise Unavailable(Reason.HUB_UNAVAILABLE, "The store is away.")
        return await super().write(work)


def trail_on(database: Database) -> Trail:
    return Trail(database, KEY, lambda: NOW, {"house": PRICED})


async def outcomes(trail: Trail) -> list[str]:
    return [json.loads(record.leaf)["outcome"] for record in await trail.page(Chosen(), -1, 100)]


async def test_entries_and_heads_are_kept_alike_on_both_engines(database_url: str) -> None:
    database = Database.open(database_url)
    trail = trail_on(database)
    await database.write(lambda connection: heads.add_key(connection, public_der(KEY), NOW))
    for number in range(5):
        await trail.add(replace(ENTRY, request_id=f"id-{number}", time=NOW + timedelta(seconds=number)))
    first = await trail.sign()
    assert await trail.sign() == first
    await asyncio.gather(*(trail.add(replace(ENTRY, request_id=f"at once {number}")) for number in range(8)))
    second = await trail.sign()
    assert (first.head.size, second.head.size) == (5, 13)
    assert len(await trail.proof(5, 13)) > 0
    checked = await database.read(lambda connection: check_log(connection, [first], NOW - timedelta(days=1)))
    assert (checked.entries, checked.kept, checked.heads, checked.findings) == (13, 13, 2, ())
    await trail.forget(timedelta(0))
    assert await trail.page(Chosen(), -1, 10) != []  # none is older than its own time
    await database.write(lambda connection: audit.forget(connection, NOW + timedelta(hours=1)))
    checked = await database.read(lambda connection: check_log(connection, [first], NOW + timedelta(days=1)))
    assert (checked.entries, checked.kept, checked.findings) == (13, 0, ())
    database.close()


def test_a_leaf_tells_what_was_done_and_not_a_word_of_it() -> None:
    told = json.loads(ENTRY.leaf())
    assert (told["agent"], told["data_class"], told["data_kinds"], told["policy_ids"]) == ("plant-7", "internal", ["EMAIL"], ["p"])
    assert (told["provider"], told["tier"], told["region"], told["model"]) == ("house", "private", "oslo", "m-1")
    assert (told["cost_micros"], told["currency"], told["outcome"], told["time"]) == (
        3300,
        "USD",
        "ANSWERED",
        "2026-11-28T12:00:00.123+00:00",
    )
    assert "SECRET" not in ENTRY.leaf()
    assert set(told) == set(Entry.__slots__) | {"format_version"}


@pytest.mark.parametrize(
    ("prices", "tokens", "micros"),
    [
        ({}, (10, 10), None),
        ({"input_price_per_million_tokens": 0.15}, (7, 0), 1),
        ({"output_price_per_million_tokens": 60.0}, (7, 3), 180),
        ({"input_price_per_million_tokens": 0.0}, (7, 3), 0),
        ({"input_price_per_million_tokens": 3.0}, (0, 0), None),
    ],
)
def test_what_an_answer_costs(prices: dict[str, float], tokens: tuple[int, int], micros: int | None) -> None:
    settings = ProviderSettings(**{**SETTINGS.model_dump(), **prices})
    assert cost_micros(settings, Finish("m", *tokens, "stop")) == micros


async def test_a_store_that_is_away_stops_no_answer_and_gets_its_entries_later(tmp_path: Path) -> None:
    database = AwayDatabase.open(f"sqlite:///{tmp_path / 'hub.db'}")
    trail = trail_on(database)
    database.away = True
    with capture_logs() as logged:
        assert [piece async for piece in recorded(trail, ESCALATION, answer(TextDelta("a"), DONE))] == [TextDelta("a"), DONE]
    assert logged[0]["event"] == "an entry of the audit log waits for the store"
    assert "SECRET" not in str(logged)
    with pytest.raises(Unavailable):
        await trail.flush()
    database.away = False
    await trail.flush()
    await trail.flush()
    assert await outcomes(trail) == ["ANSWERED"]
    database.close()


async def test_of_too_many_that_wait_the_oldest_are_lost_and_told(tmp_path: Path) -> None:
    database = AwayDatabase.open(f"sqlite:///{tmp_path / 'hub.db'}")
    database.away = True
    trail = Trail(database, KEY, lambda: NOW, {}, most_waiting=2)
    with capture_logs() as logged:
        for number in range(3):
            await trail.add(replace(ENTRY, outcome=f"o{number}"))
    lost = [line for line in logged if line["event"] == "an entry of the audit log is lost"]
    assert [line["outcome"] for line in lost] == ["o0"]
    database.away = False
    await trail.close()
    assert await outcomes(trail) == ["o1", "o2"]
    database.close()


async def test_an_answer_that_nobody_waits_for_is_written_as_cancelled(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path / 'hub.db'}")
    trail = trail_on(database)
    async with aclosing(recorded(trail, ESCALATION, answer(TextDelta("a"), DONE))) as pieces:
        assert await anext(pieces) == TextDelta("a")
    begun = asyncio.Event()

    async def wait() -> None:
        async for _ in recorded(trail, ESCALATION, answer(TextDelta("a"), hangs=begun)):
            pass

    waiting = asyncio.create_task(wait())
    await begun.wait()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await trail.close()
    assert await outcomes(trail) == ["CANCELLED", "CANCELLED"]
    database.close()


async def test_a_mistake_of_the_hub_is_written_as_one(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path / 'hub.db'}")
    trail = trail_on(database)
    with pytest.raises(ZeroDivisionError):
        async for _ in recorded(trail, ESCALATION, answer(TextDelta("a"), breaks=ZeroDivisionError())):
            pass
    assert await outcomes(trail) == ["INTERNAL"]
    database.close()


async def test_a_damaged_log_is_not_signed_and_stops_no_hub(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path / 'hub.db'}")
    trail = trail_on(database)
    for _ in range(4):
        await trail.add(ENTRY)
    await database.write(lambda connection: connection.execute(audit_nodes.delete().where(audit_nodes.c.level > 0)))
    with pytest.raises(NotPossibleNow) as raised:
        await trail.sign()
    assert raised.value.reason is Reason.LOG_DAMAGED
    with capture_logs() as logged:
        await trail.close()
    assert logged[-1]["reason"] == "LOG_DAMAGED"
    database.close()


async def answer(
    *pieces: Any, hangs: asyncio.Event | None = None, breaks: Exception | None = None
) -> AsyncGenerator[TextDelta | Completion, None]:
    for piece in pieces:
        yield piece
    if hangs is not None:
        hangs.set()
        await asyncio.Event().wait()
    if breaks is not None:
        raise breaks
