"""A pipeline whose every step is real but the model and the hub."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from agent.inference.away import AwayModel, model_loading
from agent.inference.current import LocalModel
from agent.pipeline import Pipeline
from agent.prompts import Answer, Delta, Message, Prompt
from agent.store.database import Database
from tests.fakes.engine import FakeEngine
from tests.fakes.escalator import FakeEscalator
from tests.fakes.parts import make_parts

NOW = datetime(2026, 1, 2, tzinfo=UTC)
CARD = "my card is 4111 1111 1111 1111"
MAIL = "Write to ada@example.org about the pump."
SURE, UNSURE = 0.9, 0.1

Build = Callable[..., Pipeline]


class Exchanged:
    """A model that goes away, as agent.inference.current.CurrentModel lets it."""

    def __init__(self, engine: FakeEngine) -> None:
        self.bundle = engine.bundle
        self.model: LocalModel = engine

    @contextmanager
    def held(self) -> Iterator[LocalModel]:
        yield self.model

    def take_away(self) -> None:
        self.model = AwayModel(model_loading(3.0), self.bundle)


def build_pipeline(database: Database, engine: FakeEngine | Exchanged, escalator: FakeEscalator | None = None, **changes: Any) -> Pipeline:
    """Makes a pipeline; what is not named is the shipped thing."""
    parts = make_parts(database, engine, escalator or FakeEscalator([], breaks_after=0, sent=False), **changes)
    return Pipeline(parts, lambda: NOW)


def prompt(text: str, **fields: Any) -> Prompt:
    return Prompt(fields.pop("prompt_id", "p1"), fields.pop("client", "c1"), (Message("user", text),), NOW, **fields)


async def ask(pipeline: Pipeline, asked: Prompt) -> Answer:
    pieces = [piece async for piece in pipeline.answer(asked)]
    answer = pieces[-1]
    assert isinstance(answer, Answer)
    assert "".join(piece.text for piece in pieces[:-1] if isinstance(piece, Delta)) == answer.text
    return answer
