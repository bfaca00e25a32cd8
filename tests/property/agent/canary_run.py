"""One prompt through the whole path with something planted in it that must not leave, and faults wherever there can be any."""

import json
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from stdnum import iban, luhn

from agent.cache.exact import ExactCache
from agent.classify import Classifier
from agent.confidence import ConfidenceSettings
from agent.detection.detector import PHONE_REGIONS, pattern_finders
from agent.detection.secrets import has_key
from agent.escalation import HubEscalator
from agent.later.promises import Promises
from agent.later.prompts import LatePrompt
from agent.later.worker import LateTimes, LateWorker
from agent.output_rules import build_rules
from agent.parts import Parts
from agent.pipeline import Pipeline
from agent.prompts import Answer, Delta, Message, Prompt
from agent.redacting import Redactor
from agent.store.answers import AnswerStore
from agent.store.audit import ReceiptStore
from agent.store.classes import ClassStore
from agent.store.conversations import ConversationStore
from agent.store.database import Database
from agent.store.inbox import Wanted
from agent.store.outbox import Outbox
from agent.telemetry import Metrics
from contract.classification import DataClass, Finding
from contract.errors import Reason, SeawallError, Unavailable
from contract.policy import Policy
from contract.recognizers import SiteRecognizers
from contract.surroundings import Hub, Surroundings
from hub.escalation.metering import Meter
from hub.escalation.prompts import Escalation, Finish, TextDelta
from hub.escalation.providers.base import ProviderFailed
from tests.fakes.classifier import classifier
from tests.fakes.engine import FakeEngine
from tests.fakes.hub_in_process import HubInProcess
from tests.fakes.provider import FakeProvider
from tests.fakes.surroundings import ABROAD, CLOUD, HOUSE
from tests.fakes.vaults import MemoryVaults

NOW = datetime(2026, 1, 2, tzinfo=UTC)
NAMES = tuple(f"Heronsford{number}" for number in range(50))
SITE = SiteRecognizers(names=NAMES)
FAULT_SHARE = 0.12
AWAY_SHARE = 0.3
"""More often than all else fails: what waits then for the hub goes its own way out."""
WORDS = ("please", "tell", "me", "what", "the", "pump", "near", "the", "gate", "does", "when", "it", "rains", "and", "who", "would", "know")


@cache
def whole_classifier() -> Classifier:
    """One for all runs: it has a thread of its own."""
    return classifier(site=SITE)


@cache
def broken_classifier() -> Classifier:
    """One of whose finders breaks, and quotes the text in its error."""

    def breaks(text: str) -> Iterator[Finding]:
        raise ValueError(f"cannot read {text}")

    return classifier(*pattern_finders(PHONE_REGIONS, SITE), breaks)


@dataclass(frozen=True)
class Canary:
    """Something planted, and the least class of a text that holds it."""

    value: str
    least: DataClass


def plant(random: Random) -> Canary:
    """Makes something up that the detectors must find, and that stands nowhere else."""
    number = random.randrange(10**9)
    makers: Sequence[Callable[[], Canary]] = (
        lambda: Canary(f"u{number}@mail{number}.example.org", DataClass.CONFIDENTIAL),
        lambda: Canary(f"+49 30 {number:09d}"[:15], DataClass.CONFIDENTIAL),
        lambda: Canary(random.choice(NAMES), DataClass.CONFIDENTIAL),
        lambda: Canary(_card(random), DataClass.RESTRICTED),
        lambda: Canary(_iban(number), DataClass.CONFIDENTIAL),
        lambda: Canary(f"sk-proj-{number:09d}{number:09d}AbCd", DataClass.RESTRICTED),
        lambda: Canary(f"ghp_{number:09d}{number:09d}{number:09d}Abcdefghi", DataClass.RESTRICTED),
    )
    return random.choice(makers)()


def _card(random: Random) -> str:
    body = "4" + "".join(str(random.randrange(10)) for _ in range(14))
    return body + luhn.calc_check_digit(body)


def _iban(number: int) -> str:
    body = f"37040044{number:010d}"
    return f"DE{iban.calc_check_digits('DE00' + body)}{body}"


class EchoingProvider(FakeProvider):
    """Keeps what it is asked, and says it again in pieces, sometimes as a model would mangle it."""

    def __init__(self, name: str, random: Random, **settings: Any) -> None:
        super().__init__(name, (), **settings)
        self._random = random

    async def answer(self, escalation: Escalation) -> AsyncGenerator[TextDelta | Finish, None]:
        self.asked.append(escalation)
        if self._random.random() < FAULT_SHARE:
            raise ProviderFailed("timeout")
        text = "You said: " + escalation.turns[-1].content
        while text:
            length = self._random.choice((1, 2, 3, 7, 30))
            yield TextDelta(text[:length])
            text = text[length:]
        yield Finish("m", 3, 4, "stop")


@dataclass
class Run:
    """The parts of one run, and all that was seen of it."""

    random: Random
    database: Database
    policy: Policy
    said: list[str] = field(default_factory=list)
    better: list[tuple[LatePrompt, Answer]] = field(default_factory=list)

    def __post_init__(self) -> None:
        random = self.random
        self.vaults = MemoryVaults(breaks=self._fails())
        self.region = random.choice(("de-fra", "us-east", ""))
        self.hub = Hub("seawall.test", random.choice(("de-fra", "us-east")), "acme", (HOUSE, ABROAD, CLOUD))
        self.providers = [EchoingProvider(known.name, random, tier=known.tier) for known in (HOUSE, ABROAD, CLOUD)]
        for provider, known in zip(self.providers, (HOUSE, ABROAD, CLOUD), strict=True):
            provider.settings = provider.settings.model_copy(
                update={"region": known.region, "operator": known.operator, "retention_days": known.retention_days}
            )
        labels = {"region": random.choice((self.region, "de-fra")), "site": "x"}
        self.link = HubInProcess(self.policy, self.hub, self.providers, labels, Meter(CollectorRegistry(), monotonic))
        self.link.is_away = random.random() < AWAY_SHARE
        self.link.breaks_after = random.randrange(6) if self._fails() else None
        self.metrics = Metrics(CollectorRegistry())
        self.crossed_live = 0
        self.outbox = Outbox(self.database, 100)
        self.pipeline = Pipeline(self._parts(), lambda: NOW)

    def _fails(self) -> bool:
        return self.random.random() < FAULT_SHARE

    def _parts(self) -> Parts:
        return Parts(
            agent_id="a1",
            classifier=broken_classifier() if self._fails() else whole_classifier(),
            policy=self.policy,
            cache=ExactCache(FailingAnswers(self.database, self._fails()), b"k" * 32, ["p"]),
            models=FakeEngine(["I ", "do ", "not ", "know"], self.random.choice((0.1, 0.1, 0.9))),
            confidence=ConfidenceSettings(bar=0.5, held_tokens=2),
            escalator=HubEscalator(self.link, 0.1, 5.0),  # type: ignore[arg-type]  # the link is all that is not the agent's own
            redactor=Redactor(self.vaults, self.random.randrange),
            conversations=ConversationStore(self.database, 3600),
            classes=ClassStore(self.database, 3600),
            receipts=ReceiptStore(self.database, 3600),
            metrics=self.metrics,
            surroundings=lambda: Surroundings("x", self.region, hub=self.hub, can_redact=True),
            rules=build_rules(has_key) if self.random.random() < 0.5 else (),
            promises=Promises(self.outbox, 3600),
        )

    async def ask_later(self) -> None:
        """The hub is back, mostly; much else may have changed: another process asks for what waits, until nothing does."""
        self.crossed_live = len(self.link.crossed)
        self.link.is_away = self._fails()
        self.link.breaks_after = self.random.randrange(6) if self._fails() else None
        self.vaults.breaks = self._fails()
        pipeline, times = Pipeline(self._parts(), lambda: NOW), LateTimes(attempts=2)
        worker = LateWorker(self.outbox, pipeline, self, self.metrics, lambda: NOW, self.random, times)
        with structlog.testing.capture_logs() as logs:
            for _ in range(12):
                try:
                    if await worker.once() is None:
                        break
                except SeawallError as error:
                    self.said.append(str(error))
        self.said += [json.dumps(logs, default=str), generate_latest(self.metrics.registry).decode(), worker.state]
        await self.database.run(lambda tables: tables.execute("DELETE FROM outbox"))  # the next run begins with none

    async def want(self, late: LatePrompt) -> Wanted:
        """All wait for better answers."""
        del late
        return Wanted.YES

    async def give(self, late: LatePrompt, answer: Answer) -> None:
        """Keeps it."""
        self.said.append(json.dumps(answer.receipt.to_dict()))
        self.better.append((late, answer))

    async def ask(self, prompt: Prompt) -> Answer | None:
        """Asks, and keeps all that is said meanwhile; None: it was refused."""
        stop = self.random.randrange(4) if self._fails() else None
        with structlog.testing.capture_logs() as logs:
            try:
                return await self._heard(prompt, stop)
            except SeawallError as error:
                self.said.append(str(error))
                return None
            finally:
                self.said.append(json.dumps(logs, default=str))
                self.said.append(generate_latest(self.metrics.registry).decode())

    async def _heard(self, prompt: Prompt, stop: int | None) -> Answer | None:
        heard = 0
        async with aclosing(self.pipeline.answer(prompt)) as pieces:
            async for piece in pieces:
                if isinstance(piece, Answer):
                    self.said.append(json.dumps(piece.receipt.to_dict()))
                    return piece
                heard += isinstance(piece, Delta)
                if heard == stop:
                    return None  # the client has gone
        return None

    def crossed(self) -> str:
        """All that has left the site."""
        asked = [turn.content for provider in self.providers for escalation in provider.asked for turn in escalation.turns]
        return "\n".join((*asked, *(crossed.decode("utf-8", "replace") for crossed in self.link.crossed)))

    def crossed_later(self) -> str:
        """What of it has left in `ask_later`."""
        return "\n".join(crossed.decode("utf-8", "replace") for crossed in self.link.crossed[self.crossed_live :])

    def reached(self) -> set[tuple[str, str]]:
        """The tiers and regions that were asked."""
        return {(provider.settings.tier, provider.settings.region) for provider in self.providers if provider.asked}


class FailingAnswers(AnswerStore):
    """A cache whose disk may not be there."""

    def __init__(self, database: Database, is_away: bool) -> None:
        super().__init__(database, 100, 3600)
        self._is_away = is_away

    async def get(self, digest: str, now: float) -> str | None:
        self._check()
        return await super().get(digest, now)

    def _check(self) -> None:
        if self._is_away:
            raise Unavailable(Reason.STORE_UNAVAILABLE, "The store is away.")


def make_turns(random: Random, canary: Canary, number: int) -> list[Prompt]:
    """A conversation in which the canary stands in one of the turns, or in several."""
    count = random.choice((1, 1, 2, 3))
    planted = {random.randrange(count)} | {turn for turn in range(count) if random.random() < 0.3}
    conversation = f"talk{number}" if count > 1 or random.random() < 0.5 else None
    base = Prompt("p", random.choice(("c1", "c2")), (), NOW, conversation, stream=random.random() < 0.5)
    return [
        replace(base, prompt_id=f"p{number}-{turn}", messages=(Message("user", _text(random, canary.value if turn in planted else "")),))
        for turn in range(count)
    ]


def _text(random: Random, value: str) -> str:
    words = [random.choice(WORDS) for _ in range(random.randrange(3, 12))]
    if value:
        words.insert(random.randrange(len(words) + 1), random.choice(("{}", "({})", '"{}",', "{}.", "<{}>")).format(value))
    return " ".join(words)


def open_database(folder: Path) -> Database:
    """Of all runs."""
    return Database(folder / "agent.db", bytes(32))
