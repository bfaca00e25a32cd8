"""A pipeline whose every step is real but the model and the hub."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from prometheus_client import CollectorRegistry

from agent.cache.exact import ExactCache
from agent.confidence import ConfidenceSettings
from agent.inference.away import AwayModel, model_loading
from agent.inference.current import LocalModel
from agent.pipeline import Parts, Pipeline
from agent.prompts import Answer, Delta, Message, Prompt
from agent.redacting import Redactor
from agent.store.answers import AnswerStore
from agent.store.audit import ReceiptStore
from agent.store.conversations import ConversationStore
from agent.store.database import Database
from agent.store.vault import Vault
from agent.telemetry import Metrics
from contract.policy import Policy
from tests.fakes.classifier import classifier
from tests.fakes.engine import FakeEngine
from tests.fakes.escalator import FakeEscalator
from tests.fakes.surroundings import HERE

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
    parts = Parts(
        agent_id="a1",
        classifier=classifier(),
        policy=Policy(resources.files("contract").joinpath("default.cedar").read_text()),
        cache=ExactCache(AnswerStore(database, 100, 3600), b"k" * 32, ["model", "policy"]),
        models=engine,
        confidence=ConfidenceSettings(bar=0.5, held_tokens=2),
        escalator=escalator or FakeEscalator([], breaks_after=0, sent=False),
        redactor=Redactor(Vault(database, 3600)),
        conversations=ConversationStore(database, 3600),
        receipts=ReceiptStore(database, 3600),
        metrics=Metrics(CollectorRegistry()),
        surroundings=lambda: HERE,
    )
    return Pipeline(replace(parts, **changes), lambda: NOW)


def prompt(text: str, **fields: Any) -> Prompt:
    return Prompt(fields.pop("prompt_id", "p1"), fields.pop("client", "c1"), (Message("user", text),), NOW, **fields)


async def ask(pipeline: Pipeline, asked: Prompt) -> Answer:
    pieces = [piece async for piece in pipeline.answer(asked)]
    answer = pieces[-1]
    assert isinstance(answer, Answer)
    assert "".join(piece.text for piece in pieces[:-1] if isinstance(piece, Delta)) == answer.text
    return answer
