"""Join tokens in the store."""

from datetime import UTC, datetime
from functools import partial

from sqlalchemy import Connection

from hub.store import agents, join_tokens
from hub.store.agents import AgentRecord
from hub.store.database import Database
from hub.store.join_tokens import JoinTokenRecord

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def spend_by(agent_id: str, connection: Connection) -> bool:
    return join_tokens.spend(connection, "t", time=NOW, request_id="r", agent_id=agent_id)


def fill(connection: Connection) -> None:
    join_tokens.insert(connection, JoinTokenRecord("t", b"hash", NOW, NOW))
    for agent_id in ("a", "b"):
        agents.insert(connection, AgentRecord(agent_id, "0", b"", NOW, NOW))


async def test_a_token_is_spent_once_even_by_somebody_who_did_not_look(database_url: str) -> None:
    database = Database.open(database_url)
    await database.write(fill)
    assert [await database.write(partial(spend_by, agent_id)) for agent_id in ("a", "b")] == [True, False]
    spent = await database.read(lambda connection: join_tokens.get(connection, "t"))
    assert spent == JoinTokenRecord("t", b"hash", NOW, NOW, NOW, "r", "a")
    database.close()
