"""What the agent's rooms are tried with."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from agent.store.database import Database
from tests.fakes.pipelines import Build, build_pipeline


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "agent.db")
    yield opened
    opened.close()


@pytest.fixture
def build(database: Database) -> Build:
    return partial(build_pipeline, database)
