"""What is kept of heads: the one that was witnessed last, some that were refused, every key. On both engines."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection

from contract.tree_heads import Chain, TreeHead, public_der, sign_head, witness_head
from hub.store import heads
from hub.store.database import Database

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
DEVICE, OLD, NEW = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
HEAD = TreeHead("agents/plant-7", 3, b"r" * 32, NOW)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database.open(database_url)
    yield opened
    opened.close()


def put(size: int, connection: Connection) -> None:
    signed = sign_head(DEVICE, replace(HEAD, size=size))
    heads.put(connection, "plant-7", signed, witness_head(NEW, signed, NOW))


def refuse(agent_id: str, size: int, connection: Connection) -> bool:
    return heads.refuse(connection, agent_id, replace(HEAD, size=size), b"%d" % size)


async def test_a_head_takes_the_place_of_the_one_before(database: Database) -> None:
    for size in (3, 5):
        await database.write(partial(put, size))
    kept = await database.read(lambda connection: heads.get(connection, "plant-7"))
    assert kept is not None
    assert (kept[0].head.size, kept[0].is_good(), kept[1].is_good(kept[0])) == (5, True, True)
    assert await database.read(lambda connection: heads.get(connection, "plant-8")) is None


@pytest.mark.parametrize("chain", [None, Chain(None, NOW), Chain(replace(HEAD, size=2).as_previous(), NOW - timedelta(days=30))])
async def test_what_a_head_says_of_the_one_before_is_kept_as_it_was_signed(database: Database, chain: Chain | None) -> None:
    signed = sign_head(DEVICE, replace(HEAD, chain=chain))
    await database.write(lambda connection: heads.put(connection, "plant-7", signed, witness_head(NEW, signed, NOW)))
    kept = await database.read(lambda connection: heads.get(connection, "plant-7"))
    assert kept is not None
    assert (kept[0].head.chain, kept[0].is_good(), kept[1].is_good(kept[0])) == (chain, True, True)


async def test_of_refused_heads_the_first_are_kept_and_each_is_told_once(database: Database) -> None:
    told = [await database.write(partial(refuse, "plant-7", size)) for size in (1, 1, *range(2, heads.MOST_REFUSED + 3))]
    assert told == [True, False, *[True] * (heads.MOST_REFUSED - 1), False, False]
    assert await database.write(partial(refuse, "plant-8", 1))
    kept = await database.read(lambda connection: heads.refused(connection, "plant-7"))
    assert kept == [b"%d" % size for size in range(1, heads.MOST_REFUSED + 1)]


async def test_every_key_is_kept_once_the_oldest_first(database: Database) -> None:
    for key, days in ((OLD, 0), (NEW, 1), (OLD, 2)):
        await database.write(partial(heads.add_key, public_key=public_der(key), now=NOW + timedelta(days=days)))
    assert list(await database.read(heads.keys)) == [public_der(OLD), public_der(NEW)]
