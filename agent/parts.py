"""What the steps of a prompt's path are done with, and what is known of a prompt between them."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

from agent.cache.exact import ExactCache, Recalled
from agent.cache.semantic import SemanticCache
from agent.classify import Classifier, Looked
from agent.confidence import ConfidenceSettings
from agent.escalation import Escalator
from agent.inference.current import LocalModel
from agent.later.promises import Promises
from agent.learning.sketching import Sketching
from agent.narrowing import Narrowing
from agent.output_rules import Rule
from agent.policies.in_force import PolicyInForce
from agent.prompts import Message, Prompt, Sampling
from agent.redacting import Redactor
from agent.routes import Models, Outcome
from agent.store.audit import ReceiptStore
from agent.store.classes import ClassStore
from agent.store.conversations import ConversationStore
from agent.telemetry import Metrics
from agent.traffic import Traffic
from contract.calibration.maps import Calibrations
from contract.classification import Classification, DataClass
from contract.decision import Decision
from contract.policy import Policy
from contract.surroundings import Surroundings
from contract.tracing import NO_TRACING, Tracing


@dataclass(frozen=True, slots=True)
class Parts:
    """What the steps are done with.

    Args:
        narrowing: returns what is narrowed now; asked for each prompt, and again before it leaves and before its answer is kept.
        tracing: told of each step.
        traffic: told of what the model on the device has answered.
        surroundings: returns what is known around any prompt now.
        rules: that the cloud's text must pass.
        floors: returns the least classes that a prompt may have, besides the site's.
        calibrations: returns those in force now.
        similar: answers to questions that mean the same; None: none is given.
        promises: keeps prompts whose better answer is to follow; None: none does.
        sketching: told of prompts whose answers may be counted; None: this device is in no sums.
    """

    agent_id: str
    classifier: Classifier
    policy: Policy | PolicyInForce
    cache: ExactCache
    models: Models
    confidence: ConfidenceSettings
    escalator: Escalator
    redactor: Redactor
    conversations: ConversationStore
    classes: ClassStore
    receipts: ReceiptStore
    metrics: Metrics
    narrowing: Callable[[], Narrowing] = Narrowing
    tracing: Tracing = NO_TRACING
    traffic: Traffic = field(default_factory=Traffic)
    surroundings: Callable[[], Surroundings] = Surroundings
    rules: tuple[Rule, ...] = ()
    floors: Callable[[Prompt], tuple[DataClass, ...]] = lambda _: ()
    calibrations: Callable[[], Calibrations] = Calibrations
    similar: SemanticCache | None = None
    promises: Promises | None = None
    sketching: Sketching | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt, and what is known of it once it is classified and decided on."""

    prompt: Prompt
    model: LocalModel
    messages: tuple[Message, ...]
    judged: Sampling
    looked: Looked
    narrowing: Narrowing
    classification: Classification
    surroundings: Surroundings
    decision: Decision
    bar: float
    started: float


@dataclass(frozen=True, slots=True)
class Routed:
    """The way that was chosen, for what was asked as it was decided on last, and why.

    Args:
        is_unreached: whether the hub would have been asked, and could not be reached.
        recalled: the kept answer that is given; None: another one is.
    """

    asked: Asked
    pieces: AsyncGenerator[str | Outcome, None]
    reasons: tuple[str, ...]
    is_unreached: bool = False
    recalled: Recalled | None = None
