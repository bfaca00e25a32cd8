"""Who plays rounds, on a real PostgreSQL and on SQLite."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from hub.learning.role import Role
from hub.store.database import Database
from hub.store.holding import Pace
from tests.fakes.fleet_agent import eventually
from tests.fakes.postgres import Postgres

QUICK = Pace(again=0.05, silent=5.0)

HOLDS = """
import asyncio, sys
from hub.learning.role import Role
from hub.store.database import Database

async def main():
    await Role(Database.open(sys.argv[1])).run()

asyncio.run(main())
"""


@asynccontextmanager
async def process(url: str, pace: Pace = QUICK) -> AsyncIterator[Role]:
    database = Database.open(url)
    role = Role(database, pace)
    running = asyncio.create_task(role.run())
    try:
        yield role
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        database.close()


async def test_of_two_processes_on_one_postgresql_one_plays_rounds_and_the_other_takes_over(postgres: Postgres) -> None:
    url = postgres.create_database()
    async with process(url) as second:
        async with process(url) as first:
            await eventually(lambda: first.is_held or second.is_held)
            assert first.is_held is not second.is_held
            held = (first, second) if first.is_held else (second, first)
            postgres.hang_up(url)  # what becomes of the holder's connection when its process is killed
            await eventually(lambda: not held[0].is_held or held[1].is_held)
            await eventually(lambda: first.is_held is not second.is_held)
        await eventually(lambda: second.is_held)
        assert not first.is_held


async def test_the_role_of_a_process_that_is_killed_passes_on(postgres: Postgres) -> None:
    url = postgres.create_database()
    async with process(url) as other:
        await other.held()
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", HOLDS, url, stdout=asyncio.subprocess.PIPE)
    assert killed.stdout is not None
    assert b"this process plays rounds" in await killed.stdout.readline()
    async with process(url) as other:
        assert not other.is_held
        killed.kill()
        await killed.wait()
        await eventually(lambda: other.is_held)


async def test_a_process_that_stands_still_loses_the_role(postgres: Postgres) -> None:
    url = postgres.create_database()
    async with process(url, Pace(again=3600.0, silent=0.5)) as silent:
        await silent.held()
        async with process(url) as other:
            await eventually(lambda: other.is_held)


async def test_one_process_on_sqlite_has_the_role_until_it_ends(tmp_path: Path) -> None:
    async with process(f"sqlite:///{tmp_path / 'hub.db'}") as only:
        await only.held()
        assert only.is_held
    assert not only.is_held
