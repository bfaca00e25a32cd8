"""What is wanted of agents, worked out for many groups and many agents at once."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection

from hub.fleet import filters
from hub.fleet.configuration import refresh
from hub.store import agents, groups
from hub.store.agents import AgentRecord
from hub.store.database import Database
from hub.store.groups import GroupRecord
from seawall.hub.v1 import group_pb2

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(f"sqlite:///{tmp_path / 'hub.db'}")
    yield opened
    opened.close()


def add_agent(connection: Connection, agent_id: str, **labels: str) -> None:
    agents.insert(connection, AgentRecord(agent_id, "a" * 64, b"", NOW, NOW, labels=labels))


def add_group(connection: Connection, group_id: str, expression: str, priority: int, **wanted: object) -> None:
    configuration = group_pb2.Configuration(**wanted)  # type: ignore[arg-type]
    groups.insert(connection, GroupRecord(group_id, expression, priority, configuration.SerializeToString(), NOW, NOW))


def wanted_of(connection: Connection, agent_id: str) -> group_pb2.Configuration:
    record = agents.get(connection, agent_id)
    assert record is not None
    return group_pb2.Configuration.FromString(record.configuration)


async def test_each_filter_is_read_once_however_many_groups_and_agents_there_are(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Counter[str] = Counter()
    parse = filters._Parser.expression

    def counted(parser: filters._Parser, depth: int) -> filters.Filter:
        read[" ".join(parser._tokens)] += 1
        return parse(parser, depth)

    monkeypatch.setattr(filters._Parser, "expression", counted)
    filters.parse.cache_clear()

    def work(connection: Connection) -> list[str]:
        for number in range(600):
            add_group(connection, f"g{number}", f"labels.line = line-{number}", number, max_output_tokens=number + 1)
        for number in range(5):
            add_agent(connection, f"plant-{number}", line=f"line-{number}")
        return refresh(connection, NOW)

    assert len(await database.write(work)) == 5
    assert (len(read), set(read.values())) == (600, {1})


async def test_agents_that_differ_in_one_label_are_told_apart_and_equal_ones_are_wanted_the_same_of(database: Database) -> None:
    def work(connection: Connection) -> dict[str, group_pb2.Configuration]:
        add_group(connection, "all", "", 0, floor="internal", max_output_tokens=9)
        add_group(connection, "line", "labels.line:*", 1, cache_disabled=True)
        add_group(connection, "oslo", 'labels.site = oslo AND NOT labels.line = "2"', 2, max_output_tokens=5)
        add_agent(connection, "none")
        add_agent(connection, "serial", serial="s1")
        add_agent(connection, "one", site="oslo", line="1", serial="s1")
        add_agent(connection, "one-too", site="oslo", line="1", serial="s2")
        add_agent(connection, "two", site="oslo", line="2")
        refresh(connection, NOW)
        return {name: wanted_of(connection, name) for name in ("none", "serial", "one", "one-too", "two")}

    everywhere = group_pb2.Configuration(floor="internal", max_output_tokens=9)
    on_a_line = group_pb2.Configuration(floor="internal", max_output_tokens=9, cache_disabled=True)
    in_oslo = group_pb2.Configuration(floor="internal", max_output_tokens=5, cache_disabled=True)
    assert await database.write(work) == {
        "none": everywhere,
        "serial": everywhere,
        "one": in_oslo,
        "one-too": in_oslo,
        "two": on_a_line,
    }
