"""The list of agents, page by page."""

from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from hub.store.agents import AgentRecord
from hub.store.database import Database
from hub.store.tables import agents
from seawall.hub.v1 import agent_pb2, agent_pb2_grpc
from tests.fakes.hub import running_hub
from tests.fakes.hub_errors import reason_of

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
NAMES = sorted(f"plant-{number}" for number in range(1100))


def insert_all(connection: Connection) -> None:
    row = asdict(AgentRecord("", "0", b"", NOW, NOW))
    connection.execute(agents.insert(), [{**row, "agent_id": name} for name in NAMES])


@pytest.fixture
async def stub(tmp_path: Path) -> AsyncIterator[Any]:
    async with running_hub(tmp_path) as hub, hub.channel(hub.operator) as channel:
        database = Database.open(hub.folder.database_url)
        await database.write(insert_all)
        database.close()
        yield agent_pb2_grpc.AgentServiceStub(channel)


async def refusal(stub: Any, **fields: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.ListAgents(agent_pb2.ListAgentsRequest(**fields))
    return raised.value.code(), reason_of(raised.value)


@pytest.mark.parametrize(("page_size", "pages"), [(0, 11), (100, 11), (550, 2), (1000, 2), (5000, 2), (1, None)])
async def test_pages_hold_every_agent_once_in_order(stub: Any, page_size: int, pages: int | None) -> None:
    seen: list[str] = []
    token, count = "", 0
    while (count == 0 or token) and count < 20:
        page = await stub.ListAgents(agent_pb2.ListAgentsRequest(page_size=page_size, page_token=token))
        seen += [agent.name for agent in page.agents]
        token, count = page.next_page_token, count + 1
    assert seen == [f"agents/{name}" for name in NAMES][: len(seen)]
    if pages is not None:
        assert (len(seen), count) == (1100, pages)


async def test_a_negative_page_size_is_refused(stub: Any) -> None:
    assert await refusal(stub, page_size=-1) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")


async def test_garbage_is_no_page_token(stub: Any) -> None:
    tokens: list[str] = ["AAAA", "====", "plant-7", "a", "cGxhbnQtNw", "cGxhbnQtNw==\n", "Ly8vLw=="]

    @settings(max_examples=50, deadline=None, database=None)
    @given(st.text(min_size=1, max_size=30, alphabet=st.characters(exclude_characters="=", exclude_categories=["Cs"])))
    def collect(token: str) -> None:
        if len(token) % 4:  # the others might be one by chance
            tokens.append(token)

    collect()
    for token in tokens:
        assert await refusal(stub, page_token=token) == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID"), token


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("agents/nobody", grpc.StatusCode.NOT_FOUND, "AGENT_NOT_FOUND"),
        ("plant-7", grpc.StatusCode.INVALID_ARGUMENT, "NAME_INVALID"),
        ("agents/", grpc.StatusCode.INVALID_ARGUMENT, "NAME_INVALID"),
        ("agents/A", grpc.StatusCode.INVALID_ARGUMENT, "NAME_INVALID"),
        ("", grpc.StatusCode.INVALID_ARGUMENT, "NAME_INVALID"),
    ],
)
async def test_one_agent_by_its_name_or_a_clear_error(stub: Any, name: str, code: grpc.StatusCode, reason: str) -> None:
    assert (await stub.GetAgent(agent_pb2.GetAgentRequest(name="agents/plant-7"))).name == "agents/plant-7"
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.GetAgent(agent_pb2.GetAgentRequest(name=name))
    assert (raised.value.code(), reason_of(raised.value)) == (code, reason)
