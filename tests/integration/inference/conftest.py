"""The real model, loaded once."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.inference.engine import Engine
from agent.inference.settings import EngineSettings

BUNDLE = Path(__file__).parents[3] / "build" / "models" / "smollm2-135m-instruct-int8"

SETTINGS = EngineSettings(context_tokens=512, slots=4, queue_size=4, prefix_tokens=600)


@pytest.fixture(scope="session")
def bundle_folder() -> Path:
    assert BUNDLE.is_dir(), "the model is not built: run `make model` first"
    return BUNDLE


@pytest.fixture(scope="session")
def engine(bundle_folder: Path) -> Iterator[Engine]:
    engine = Engine(bundle_folder, SETTINGS)
    yield engine
    asyncio.run(engine.close())
