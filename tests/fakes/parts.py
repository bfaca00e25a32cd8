"""The parts of a prompt's path: every one real but the model and the hub."""

from dataclasses import replace
from importlib import resources
from typing import Any

from prometheus_client import CollectorRegistry

from agent.cache.exact import ExactCache
from agent.confidence import ConfidenceSettings
from agent.escalation import Escalator
from agent.parts import Parts
from agent.redacting import Redactor
from agent.routes import Models
from agent.store.answers import AnswerStore
from agent.store.audit import ReceiptStore
from agent.store.classes import ClassStore
from agent.store.conversations import ConversationStore
from agent.store.database import Database
from agent.store.vault import Vault
from agent.telemetry import Metrics
from contract.policy import Policy
from tests.fakes.classifier import classifier
from tests.fakes.surroundings import HERE


def make_parts(database: Database, models: Models, escalator: Escalator, **changes: Any) -> Parts:
    """Returns parts; what a test does not name is the shipped thing."""
    parts = Parts(
        agent_id="a1",
        classifier=classifier(),
        policy=Policy(resources.files("contract").joinpath("default.cedar").read_text()),
        cache=ExactCache(AnswerStore(database, 100, 3600), b"k" * 32, ["model", "policy"]),
        models=models,
        confidence=ConfidenceSettings(bar=0.5, held_tokens=2),
        escalator=escalator,
        redactor=Redactor(Vault(database, 3600)),
        conversations=ConversationStore(database, 3600),
        classes=ClassStore(database, 3600),
        receipts=ReceiptStore(database, 3600),
        metrics=Metrics(CollectorRegistry()),
        surroundings=lambda: HERE,
    )
    return replace(parts, **changes)
