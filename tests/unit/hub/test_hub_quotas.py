"""Quotas: what an escalation can take is set aside, and what it took is counted."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest

from contract.classification import DataClass
from contract.errors import Reason, Unavailable
from hub.escalation.prompts import Completion, Escalation, Finish, TextDelta, Turn
from hub.escalation.providers.base import ProviderFailed
from hub.escalation.quotas import MESSAGE_TOKENS, within_quotas
from hub.fleet.quotas import Quotas, QuotaSpent
from hub.store import agents, groups
from hub.store.agents import AgentRecord
from hub.store.database import Database
from hub.store.groups import GroupRecord
from hub.store.quotas import Spent

START = datetime(2026, 11, 21, 23, 59, 30, tzinfo=UTC)
Clock = list[datetime]


@pytest.fixture
def now() -> Clock:
    return [START]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database.open(database_url)
    for agent_id, labels in (("a", {"site": "oslo"}), ("b", {"site": "oslo", "line": "4"}), ("c", {})):
        record = AgentRecord(agent_id, "k", b"", START, START, labels=labels)
        await opened.write(lambda connection, record=record: agents.insert(connection, record))  # type: ignore[misc]
    yield opened
    opened.close()


@pytest.fixture
def quotas(database: Database, now: Clock) -> Quotas:
    return Quotas(database, lambda: now[0])


async def limit(database: Database, group_id: str, expression: str, escalations: int | None = None, tokens: int | None = None) -> None:
    record = GroupRecord(group_id, expression, 0, b"", START, START, escalations_per_day=escalations, tokens_per_day=tokens)
    await database.write(lambda connection: groups.insert(connection, record))


async def spent(quotas: Quotas, group_id: str = "oslo") -> tuple[int, int]:
    found = (await quotas.spent([group_id]))[0].get(group_id, Spent())
    return found.escalations, found.tokens


async def test_where_nothing_is_limited_nothing_is_counted(quotas: Quotas, database: Database) -> None:
    await limit(database, "oslo", "labels.site = oslo")
    reservation = await quotas.reserve("a", 100)
    assert reservation.group_ids == ()
    await quotas.settle(reservation, 50)
    assert await spent(quotas) == (0, 0)


async def test_agents_of_a_group_share_its_escalations_and_others_have_theirs(quotas: Quotas, database: Database) -> None:
    await limit(database, "oslo", "labels.site = oslo", escalations=2)
    await quotas.reserve("a", 1)
    await quotas.reserve("b", 1)
    for agent_id in "ab":
        with pytest.raises(QuotaSpent, match="groups/oslo is spent: 2 of 2 escalations"):
            await quotas.reserve(agent_id, 1)
    await quotas.reserve("c", 1)
    assert await spent(quotas) == (2, 2)


async def test_the_refusal_says_which_group_when_it_is_full_again_and_when_to_ask_again(quotas: Quotas, database: Database) -> None:
    await limit(database, "oslo", "", tokens=10)
    with pytest.raises(QuotaSpent, match="0 of 10 tokens today, and this may take 11") as raised:
        await quotas.reserve("a", 11)
    assert raised.value.reason is Reason.QUOTA_SPENT
    assert (raised.value.group, raised.value.reset_time) == ("groups/oslo", datetime(2026, 11, 22, tzinfo=UTC))
    assert raised.value.retry_seconds == 30


async def test_what_was_not_taken_is_free_again(quotas: Quotas, database: Database) -> None:
    await limit(database, "oslo", "", tokens=100)
    reservation = await quotas.reserve("a", 60)
    with pytest.raises(QuotaSpent):
        await quotas.reserve("b", 60)
    await quotas.settle(reservation, 40)
    await quotas.reserve("b", 60)
    assert await spent(quotas) == (2, 100)


async def test_when_an_escalation_has_ended_it_is_said_how_many_tokens_are_left_of_the_nearest_quota_today(
    quotas: Quotas, database: Database, now: Clock
) -> None:
    reservation = await quotas.reserve("b", 60)
    assert await quotas.settle(reservation, 40) is None
    await limit(database, "line", "labels.line = 4", escalations=5)
    reservation = await quotas.reserve("b", 60)
    assert await quotas.settle(reservation, 40) is None
    await limit(database, "oslo", "labels.site = oslo", tokens=100)
    await limit(database, "all", "", tokens=90)
    reservation = await quotas.reserve("b", 60)
    assert await quotas.settle(reservation, 60) == 30
    reservation = await quotas.reserve("a", 10)
    now[0] += timedelta(seconds=30)
    assert await quotas.settle(reservation, 5) is None
    now[0] -= timedelta(seconds=30)
    assert await quotas.settle(await quotas.reserve("c", 10), 50) == 0


async def test_an_agent_of_two_groups_must_be_within_both_and_a_refusal_takes_from_neither(quotas: Quotas, database: Database) -> None:
    await limit(database, "line", "labels.line = 4", escalations=1)
    await limit(database, "oslo", "labels.site = oslo", tokens=10)
    with pytest.raises(QuotaSpent, match="groups/oslo"):
        await quotas.reserve("b", 11)
    assert await spent(quotas, "line") == (0, 0)
    await quotas.reserve("b", 4)
    with pytest.raises(QuotaSpent, match="groups/line"):
        await quotas.reserve("b", 4)
    assert (await spent(quotas, "line"), await spent(quotas)) == ((1, 4), (1, 4))


async def test_a_new_day_begins_at_midnight_in_utc_and_yesterdays_escalations_end_on_their_day(
    quotas: Quotas, database: Database, now: Clock
) -> None:
    await limit(database, "oslo", "", escalations=1, tokens=100)
    reservation = await quotas.reserve("a", 90)
    now[0] += timedelta(seconds=30)
    await quotas.reserve("a", 80)
    await quotas.settle(reservation, 10)
    assert await spent(quotas) == (1, 80)
    now[0] -= timedelta(seconds=30)
    assert await spent(quotas) == (1, 10)
    now[0] += timedelta(days=3)
    await quotas.reserve("a", 1)
    now[0] -= timedelta(days=3)
    assert await spent(quotas) == (0, 0)


async def rename(database: Database, before: str, after: str) -> None:
    """Takes a table away, or brings it back: to SQLite, what is not there cannot be reached."""
    await database.write(lambda connection: connection.exec_driver_sql(f"ALTER TABLE {before} RENAME TO {after}"))


@pytest.mark.parametrize("table", ["groups", "quota_usage"])
async def test_a_quota_that_cannot_be_read_denies(quotas: Quotas, database: Database, table: str) -> None:
    await limit(database, "oslo", "", tokens=10)
    await rename(database, table, "away")
    with pytest.raises(Unavailable):
        await quotas.reserve("a", 1)


ASKED = Escalation("id", "a", (Turn("user", "æh"),), frozenset(), DataClass.PUBLIC, 50, 0.0)
INPUT = 3 + MESSAGE_TOKENS


def completion(input_tokens: int, output_tokens: int) -> Completion:
    return Completion("house", "private", "here", Finish("m", input_tokens, output_tokens, "stop"))


async def answer(*pieces: TextDelta | Completion | ProviderFailed) -> AsyncGenerator[TextDelta | Completion, None]:
    for piece in pieces:
        if isinstance(piece, ProviderFailed):
            raise piece
        yield piece


@pytest.mark.parametrize(
    ("pieces", "counted"),
    [
        ((TextDelta("x"), completion(7, 2)), (1, 9)),
        ((TextDelta("x"), completion(0, 2)), (1, INPUT + 2)),
        ((TextDelta("x"), completion(7, 0)), (1, 57)),
        ((TextDelta("x"), completion(700, 2)), (1, 702)),
        ((TextDelta("x"), ProviderFailed("cut_off")), (1, INPUT + 50)),
        ((ProviderFailed("timeout"),), (0, 0)),
    ],
)
async def test_what_is_counted_is_what_the_provider_says_or_the_most_or_nothing_where_none_began(
    quotas: Quotas, database: Database, pieces: tuple[TextDelta | Completion | ProviderFailed, ...], counted: tuple[int, int]
) -> None:
    await limit(database, "oslo", "", escalations=5)
    try:
        assert [piece async for piece in within_quotas(quotas, ASKED, answer(*pieces))] == list(pieces)
    except ProviderFailed:
        assert isinstance(pieces[-1], ProviderFailed)
    assert await spent(quotas) == counted


async def test_an_answer_that_nobody_waits_for_counts_as_the_most(quotas: Quotas, database: Database) -> None:
    await limit(database, "oslo", "", escalations=5)
    async with aclosing(within_quotas(quotas, ASKED, answer(TextDelta("x"), completion(7, 2)))) as pieces:
        await anext(pieces)
    assert await spent(quotas) == (1, INPUT + 50)


async def test_no_provider_is_asked_where_a_quota_is_spent(quotas: Quotas, database: Database) -> None:
    await limit(database, "oslo", "", tokens=INPUT + 49)
    asked = answer(TextDelta("x"))
    with pytest.raises(QuotaSpent):
        await anext(within_quotas(quotas, ASKED, asked))
    assert await anext(asked, None) is None, "it was closed before it began"


async def test_an_answer_goes_on_when_the_store_goes_away_and_counts_as_the_most(quotas: Quotas, database: Database) -> None:
    await limit(database, "oslo", "", escalations=5)
    async with aclosing(within_quotas(quotas, ASKED, answer(TextDelta("x"), completion(7, 2)))) as pieces:
        await anext(pieces)
        await rename(database, "quota_usage", "away")
        assert await anext(pieces) == completion(7, 2)
    await rename(database, "away", "quota_usage")
    assert await spent(quotas) == (1, INPUT + 50)
