"""The hub's log of escalations: what is written, who reads it, and what is found when it was tampered with."""

import asyncio
import json
import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from click.testing import Result
from sqlalchemy import Connection
from typer.testing import CliRunner

from contract.identity import key_hash
from contract.merkle import is_consistent, leaf_hash
from hub.__main__ import app
from hub.audit.messages import read_head
from hub.config import Limits
from hub.store import audit
from hub.store.database import Database
from seawall.hub.v1 import audit_pb2, audit_pb2_grpc, escalation_pb2
from tests.fakes.fleet_agent import eventually
from tests.fakes.hub import RunningHub
from tests.fakes.hub_errors import reason_of
from tests.fakes.provider_server import HEAD, hang, openai_answer, openai_delta, provider_server, status
from tests.integration.hub.test_hub_escalation_calls import PRIVATE, PUBLIC, Site, agent_at, prompt, provider, site

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Site]:
    """A hub with one priced provider."""
    prices: dict[str, Any] = {"input_price_per_million_tokens": 3.0, "output_price_per_million_tokens": 15.0, "currency": "EUR"}
    async with provider_server(openai_answer("Hel", "lo")) as server, site(tmp_path / "hub", provider("house", server, **prices)) as made:
        yield made


class Reader:
    """An operator's stub, and the commands."""

    def __init__(self, hub: RunningHub) -> None:
        self._hub = hub

    async def entries(self, **fields: Any) -> list[audit_pb2.AuditEntry]:
        return list((await self.call("ListAuditEntries", audit_pb2.ListAuditEntriesRequest(**fields))).audit_entries)

    async def call(self, method: str, request: Any, role: str = "auditor") -> Any:
        async with self._hub.channel(self._hub.issue(role)) as channel:
            return await getattr(audit_pb2_grpc.AuditServiceStub(channel), method)(request, timeout=20)

    async def run(self, *arguments: str) -> Result:
        """Runs `seawall-hub audit …`."""
        runner = CliRunner(env={"SEAWALL_HUB_LISTENERS__MTLS": self._hub.mtls_target, "COLUMNS": "200"})
        return await asyncio.to_thread(
            runner.invoke, app, ["audit", *arguments, "--data", str(self._hub.folder.path)], catch_exceptions=False
        )


async def test_an_escalation_is_written_in_clear_and_not_a_word_of_it(here: Site) -> None:
    asked = prompt(data_kinds=["EMAIL"], policy_ids=["public-may-leave"], redacted=True)
    await here.answer(asked)
    (entry,) = await Reader(here.hub).entries()
    assert (entry.number, entry.agent, entry.request_id, entry.outcome) == (0, "agents/plant-7", asked.request_id, "ANSWERED")
    assert (entry.data_class, list(entry.data_kinds), list(entry.policy_ids), entry.redacted) == (1, ["EMAIL"], ["public-may-leave"], True)
    assert (entry.provider, entry.tier, entry.region, entry.model) == ("house", PRIVATE, "house-region", "m-1")
    assert (entry.input_tokens, entry.output_tokens, entry.cost_micros, entry.currency) == (7, 2, 7 * 3 + 2 * 15, "EUR")
    assert "SECRET" not in entry.leaf
    assert json.loads(entry.leaf)["format_version"] == 1


async def test_what_was_refused_or_broke_off_is_written_with_its_reason(tmp_path: Path) -> None:
    async with (
        provider_server([status(500)]) as bad,
        provider_server([HEAD, openai_delta("half"), hang()]) as slow,
        site(tmp_path / "hub", provider("bad", bad), provider("cloud", slow, "public")) as here,
    ):
        await here.refusal(prompt())
        await here.refusal(prompt(tiers=[]))
        await here.refusal(prompt(data_class=escalation_pb2.DATA_CLASS_RESTRICTED))
        call = here.stub.EscalatePrompt(prompt(tiers=[PUBLIC]), timeout=30)
        assert (await anext(aiter(call))).text_delta == "half"
        call.cancel()
        reader = Reader(here.hub)

        async def are_four() -> bool:
            return len(await reader.entries()) == 4

        await eventually(are_four)
        entries = await reader.entries()
    assert [entry.outcome for entry in entries] == ["PROVIDERS_UNAVAILABLE", "NO_PROVIDER_ALLOWED", "DATA_CLASS_NOT_ALLOWED", "CANCELLED"]
    assert {entry.provider for entry in entries} == {""}
    assert not any(entry.HasField("cost_micros") for entry in entries)


@pytest.mark.parametrize(
    "fields", [{"data_kinds": ["my card is 4111"]}, {"policy_ids": ["x" * 129]}, {"data_kinds": ["A"] * 65}, {"policy_ids": [""]}]
)
async def test_what_would_be_kept_in_clear_must_be_names(here: Site, fields: dict[str, Any]) -> None:
    assert await here.refusal(prompt(**fields)) == ("", grpc.StatusCode.INVALID_ARGUMENT, "PROMPT_INVALID")
    assert await Reader(here.hub).entries() == []


async def test_entries_are_listed_by_agent_by_time_and_by_page(here: Site) -> None:
    async with agent_at(here.hub, "plant-8") as other:
        for _ in range(3):
            await here.answer(prompt())
        await Site(here.hub, other).answer(prompt())
    reader = Reader(here.hub)
    everything = await reader.entries()
    assert [entry.number for entry in await reader.entries(agent="agents/plant-8")] == [3]
    assert await reader.entries(start_time=everything[2].create_time) == everything[2:]
    assert await reader.entries(end_time=everything[2].create_time) == everything[:2]
    assert await reader.entries(after_number=1) == everything[2:]
    page = await reader.call("ListAuditEntries", audit_pb2.ListAuditEntriesRequest(page_size=3))
    assert list(page.audit_entries) == everything[:3]
    assert await reader.entries(page_token=page.next_page_token) == everything[3:]
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await reader.entries(page_token="!")
    assert reason_of(raised.value) == "PAGE_TOKEN_INVALID"


async def test_each_head_of_the_log_goes_on_from_the_one_that_was_kept(here: Site) -> None:
    reader = Reader(here.hub)
    empty = await reader.call("GetAuditTreeHead", audit_pb2.GetAuditTreeHeadRequest())
    assert (empty.tree_head.size, read_head(empty.tree_head).is_good()) == (0, True)
    for _ in range(3):
        await here.answer(prompt())
    first = (await reader.call("GetAuditTreeHead", audit_pb2.GetAuditTreeHeadRequest())).tree_head
    for _ in range(4):
        await here.answer(prompt())
    found = await reader.call("GetAuditTreeHead", audit_pb2.GetAuditTreeHeadRequest(first_size=3))
    second = found.tree_head
    assert is_consistent(first.size, first.root, second.size, second.root, list(found.consistency_proof))
    assert read_head(second).is_good()
    assert second.public_key in found.hub_keys
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await reader.call("GetAuditTreeHead", audit_pb2.GetAuditTreeHeadRequest(first_size=8))
    assert reason_of(raised.value) == "FIELD_INVALID"


async def test_an_export_goes_on_where_the_last_one_ended(here: Site, tmp_path: Path) -> None:
    reader, cursor = Reader(here.hub), tmp_path / "cursor"
    await here.answer(prompt(policy_ids=["p"]))
    first = await reader.run("export", "--cursor", str(cursor))
    await here.answer(prompt())
    second = await reader.run("export", "--cursor", str(cursor))
    third = await reader.run("export", "--cursor", str(cursor))
    assert [json.loads(result.stdout)["number"] for result in (first, second)] == [0, 1]
    assert json.loads(first.stdout)["policy_ids"] == ["p"]
    assert third.stdout == ""
    assert [json.loads(line)["number"] for line in (await reader.run("export", "--after", "0")).stdout.splitlines()] == [1]
    assert (await reader.run("export", "--until", "2020-01-01")).stdout == ""


async def test_an_entry_that_cannot_be_read_any_more_hides_no_other(here: Site) -> None:
    for _ in range(3):
        await here.answer(prompt())
    on_database(here.hub.folder.database, partial(run_all, ["UPDATE audit_entries SET leaf = 'no' WHERE number = 1"]))
    assert [entry.outcome for entry in await Reader(here.hub).entries()] == ["ANSWERED", "DAMAGED", "ANSWERED"]
    lines = [json.loads(line) for line in (await Reader(here.hub).run("export")).stdout.splitlines()]
    assert [(line["number"], line["outcome"]) for line in lines] == [(0, "ANSWERED"), (1, "DAMAGED"), (2, "ANSWERED")]
    assert (await Reader(here.hub).run("verify")).exit_code == 1


async def test_the_commands_show_and_verify(here: Site) -> None:
    reader = Reader(here.hub)
    await here.answer(prompt())
    listed = (await reader.run("list")).stdout
    assert re.search(r"plant-7 .* public .* house .* private .* 7 \+ 2 .* 0\.000051 EUR .* ANSWERED", listed), listed
    assert len(json.loads((await reader.run("list", "--agent", "plant-7", "--output", "json")).stdout)) == 1
    head = json.loads((await reader.run("head")).stdout)
    assert (head["log"], head["size"], head["key_hash"]) == ("hub", 1, key_hash(bytes.fromhex(head["public_key"])))
    assert "1 entries were logged, 1 are kept in clear; 1 heads: all is as it was signed." in (await reader.run("verify")).stdout
    assert "hubKeys" in (await reader.run("witnessed", "plant-7", "--output", "json")).stdout


CASES: dict[str, tuple[list[str], str, bool]] = {
    "an entry changed": (
        ["UPDATE audit_entries SET leaf = replace(leaf, 'private', 'public') WHERE number = 2"],
        "entry 2 is not the one that was logged",
        True,
    ),
    "an entry dropped": (["DELETE FROM audit_entries WHERE number = 3"], "number 3 was removed", True),
    "the oldest dropped": (
        ["DELETE FROM audit_entries WHERE number < 5"],
        "entries 4 to 4 are gone, and are younger than audit_days",
        True,
    ),
    "everything dropped": (["DELETE FROM audit_entries"], "entries 4 to 5 are gone, and are younger than audit_days", True),
    "an agent's name": (
        ["UPDATE audit_entries SET agent_id = 'x' WHERE number = 1"],
        "entry 1 is listed under another agent or time",
        True,
    ),
    "an entry added": (
        [
            "INSERT INTO audit_entries (number, create_time, agent_id, leaf) "
            "SELECT 99, create_time, agent_id, leaf FROM audit_entries WHERE number = 1"
        ],
        "entry 99 stands in no leaf",
        True,
    ),
    "a leaf changed": (
        ["UPDATE audit_nodes SET hash = zeroblob(32) WHERE level = 0 AND position = 0"],
        "its first 4 entries are not those of the head",
        True,
    ),
    "a leaf dropped": (["DELETE FROM audit_nodes WHERE level = 0 AND position = 2"], "leaves 2 to 2 are missing", True),
    "a head's signature": (
        ["UPDATE audit_heads SET signature = zeroblob(70) WHERE size = 4"],
        "the head of 4 entries, .* is not signed",
        True,
    ),
    "a head of another key": (["DELETE FROM hub_keys"], "the head of 4 entries is signed by no key of this hub", True),
    "cut off, heads and all": (
        [
            "DELETE FROM audit_entries WHERE number >= 4",
            "DELETE FROM audit_nodes WHERE (position + 1) << level > 4",
            "DELETE FROM audit_heads WHERE size > 4",
        ],
        "the log was cut off: a head of .* says 6 entries, and 4 are here",
        False,
    ),
}


@pytest.fixture
async def kept_head(here: Site, tmp_path: Path) -> Path:
    """Six entries, heads of 4 and 6, and the latter kept elsewhere."""
    file = tmp_path / "head.json"
    for number in range(6):
        await here.answer(prompt())
        if number in (3, 5):
            file.write_text((await Reader(here.hub).run("head")).stdout)
    return file


async def test_what_was_done_to_the_log_is_found_and_named(here: Site, kept_head: Path, tmp_path: Path) -> None:
    reader, database = Reader(here.hub), here.hub.folder.database
    assert (await reader.run("verify", "--head", str(kept_head))).exit_code == 0
    await eventually(lambda: not database.with_suffix(".db-journal").exists())
    backup = sqlite3.connect(tmp_path / "whole.db")
    with sqlite3.connect(database) as whole:
        whole.backup(backup)
    for statements, expected, is_found_without in CASES.values():
        on_database(database, partial(run_all, statements))
        result = await reader.run("verify", "--head", str(kept_head))
        assert (result.exit_code, bool(re.search(expected, result.stdout))) == (1, True), (expected, result.stdout)
        assert (await reader.run("verify")).exit_code == (1 if is_found_without else 0), expected
        on_database(database, backup.backup)
    backup.close()
    whole.close()


def run_all(statements: list[str], connection: sqlite3.Connection) -> None:
    for statement in statements:
        connection.execute(statement)


def on_database(path: Path, work: Callable[[sqlite3.Connection], Any]) -> None:
    with sqlite3.connect(path) as connection:
        work(connection)
    connection.close()


async def test_old_entries_are_forgotten_and_the_log_stays_whole(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path / 'hub.db'}")

    def fill(connection: Connection) -> None:
        for number in range(2500):
            audit.append(connection, NOW + timedelta(hours=number), "plant-7", f"{number}")

    await database.write(fill)
    forgotten = [await database.write(lambda connection: audit.forget(connection, NOW + timedelta(hours=2000))) for _ in range(3)]
    assert forgotten == [1000, 1000, 0]
    assert [entry.number for entry in await database.read(lambda connection: list(audit.entries(connection)))] == list(range(2000, 2500))
    leaves = await database.read(lambda connection: list(audit.leaves(connection)))
    assert leaves == [(number, leaf_hash(b"%d" % number)) for number in range(2500)]
    database.close()


async def test_retention_is_kept_to_by_a_hub_and_verifies(tmp_path: Path) -> None:
    clock = [datetime.now(UTC) - timedelta(days=10)]
    limits = Limits(stop_seconds=0, audit_days=5, agent_certificate_days=60)
    async with (
        provider_server(openai_answer("x")) as server,
        site(tmp_path / "hub", provider("house", server), limits=limits, clock=lambda: clock[0]) as here,
    ):
        await here.answer(prompt())
        clock[0] += timedelta(days=10)
        await here.answer(prompt())
        store = Database.open(here.hub.folder.database_url)
        await store.write(lambda connection: audit.forget(connection, clock[0] - timedelta(days=5)))
        store.close()
        assert [entry.number for entry in await Reader(here.hub).entries()] == [1]
        assert "2 entries were logged, 1 are kept in clear" in (await Reader(here.hub).run("verify")).stdout
