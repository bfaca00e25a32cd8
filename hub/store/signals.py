"""What one write tells everybody: that something is to be looked at again.

A signal carries no facts, so that one that is heard twice, late, or as `EVERYTHING` does no harm. It is heard when its transaction has
committed, and not at all when it does not: on PostgreSQL by NOTIFY, in every process of the hub, the speaker included; on SQLite in the
process itself.
"""

import asyncio
import json
import random
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, Never

import psycopg
import structlog
from sqlalchemy import Connection, func, select


class Topic(StrEnum):
    """What is to be looked at again."""

    EVENTS = "events"
    AGENTS = "agents"
    ROLLOUTS = "rollouts"


Changes = Mapping[Topic, frozenset[str] | None]
"""By topic: of which agents; None: of any. Events are of nobody. Of rollouts: those that one may choose now, if there are such."""

React = Callable[[Changes], None]

EVERYTHING: Changes = dict.fromkeys(Topic)

CHANNEL = "seawall_hub"
MAX_PAYLOAD_BYTES = 7900
"""PostgreSQL takes less than 8000."""

MAX_PAYLOADS = 16
"""Of one transaction. What would need more is said as "any agent"."""

IDLE_SECONDS = 2.0
"""After so long a silence the connection is tried, so that a broken one is noticed."""

ANSWER_SECONDS = 3.0
FIRST_DELAY_SECONDS = 0.2
LONGEST_DELAY_SECONDS = 2.0

_KEY = "seawall.signals"

_log = structlog.get_logger(__name__)


def signal(connection: Connection, topic: Topic, agent_ids: Iterable[str] = ()) -> None:
    """Says, as a part of a write, what is to be looked at again once it is kept."""
    _said(connection).append((topic, frozenset(agent_ids)))


def take(connection: Connection) -> Changes:
    """Returns what was said over a connection since the last time."""
    result: dict[Topic, frozenset[str] | None] = {}
    for topic, agent_ids in _said(connection):
        result[topic] = (result.get(topic) or frozenset()) | agent_ids
    _said(connection).clear()
    return result


def mark(connection: Connection) -> int:
    """Returns where what is said stands, for `forget`."""
    return len(_said(connection))


def forget(connection: Connection, place: int) -> None:
    """Takes back what was said since a mark, since the work that said it has failed."""
    del _said(connection)[place:]


def notify(connection: Connection, changes: Changes) -> None:
    """Makes changes heard by all processes when the transaction commits. PostgreSQL alone."""
    for payload in payloads(changes):
        connection.execute(select(func.pg_notify(CHANNEL, payload)))


def payloads(changes: Changes) -> list[str]:
    """Returns changes as texts, none too long."""
    result = []
    for topic, agent_ids in changes.items():
        texts = [json.dumps([topic, chunk]) for chunk in _chunks(sorted(agent_ids or ()))]
        result += texts if agent_ids is not None and len(texts) <= MAX_PAYLOADS else [json.dumps([topic, None])]
    return result


def read_payload(text: str) -> Changes:
    """Returns the changes in a text. One that is none of ours may mean anything."""
    try:
        topic, agent_ids = json.loads(text)
        return {Topic(topic): None if agent_ids is None else frozenset(agent_ids)}
    except (ValueError, TypeError):
        return EVERYTHING


async def listen(arguments: Mapping[str, Any], react: React, randomness: random.Random) -> Never:
    """Hears what is said, until cancelled. A connection that breaks is made anew, and then anything may have changed meanwhile.

    Args:
        arguments: psycopg's, of the database.
        react: is called with what is heard.
        randomness: for the delays.
    """
    delay = FIRST_DELAY_SECONDS
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(**arguments, autocommit=True) as connection:
                await connection.execute(f"LISTEN {CHANNEL}")
                delay = FIRST_DELAY_SECONDS
                react(EVERYTHING)
                await _hear(connection, react)
        except (psycopg.Error, TimeoutError) as error:
            _log.warning("signals are not heard", error=type(error).__name__)
        await asyncio.sleep(randomness.uniform(0, delay))
        delay = min(LONGEST_DELAY_SECONDS, delay * 2)


async def _hear(connection: psycopg.AsyncConnection[Any], react: React) -> None:
    while True:
        async for notification in connection.notifies(timeout=IDLE_SECONDS):
            react(read_payload(notification.payload))
        async with asyncio.timeout(ANSWER_SECONDS):
            await connection.execute("SELECT 1")


def _said(connection: Connection) -> list[tuple[Topic, frozenset[str]]]:
    said: list[tuple[Topic, frozenset[str]]] = connection.info.setdefault(_KEY, [])
    return said


def _chunks(agent_ids: list[str]) -> list[list[str]]:
    """Splits ids so that each part fits into a payload; none at all is one part."""
    chunks: list[list[str]] = [[]]
    room = MAX_PAYLOAD_BYTES - 100
    for agent_id in agent_ids:
        room -= len(agent_id) + 4
        if room < 0:
            chunks.append([])
            room = MAX_PAYLOAD_BYTES - 100 - len(agent_id) - 4
        chunks[-1].append(agent_id)
    return chunks
