"""An agent that answers and is updated at the same time, on a disk whose power is cut: `python updating_agent.py STATE RUN UPDATES`.

Slots, store, inbox, pipeline and exchange are the agent's own; the model is small, and says in every answer which bytes it was loaded
from. What has happened is said on the standard output, in lines of JSON, after it has.
"""

import asyncio
import json
import math
import os
import sys
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from time import monotonic

import structlog
from prometheus_client import CollectorRegistry

from agent.cache.exact import ExactCache
from agent.confidence import ConfidenceSettings
from agent.escalation import NoHub
from agent.inference.answer import Finished, Piece
from agent.inference.away import ModelAway
from agent.inference.current import CurrentModel
from agent.inference.loading import load_bundle
from agent.inference.scoring import Scored
from agent.parts import Parts
from agent.pipeline import Pipeline
from agent.prompts import Answer, Message, Prompt, Sampling
from agent.redacting import Redactor
from agent.store.answers import AnswerStore
from agent.store.audit import ReceiptStore
from agent.store.classes import ClassStore
from agent.store.conversations import ConversationStore
from agent.store.database import Database
from agent.store.inbox import Inbox, InboxEntry, NewPrompt
from agent.telemetry import Metrics
from agent.update.slots import Slots, SlotState
from agent.update.starting import open_model
from contract.policy import Policy
from tests.fakes.classifier import classifier
from tests.fakes.vaults import MemoryVaults
from tests.fakes.versions import digest_of, make_version

ASKERS = 2
ENDLESS = 1 << 30


class SmallModel:
    """Answers which version it is, and with the digest of its bytes. Nothing loads that the agent's own loading refuses."""

    def __init__(self, folder: Path) -> None:
        self.bundle = load_bundle(folder)
        self.context_tokens = 4096
        self._text = f"{self.bundle.version} {digest_of({path.name: path.read_bytes() for path in folder.iterdir()})}"
        self._is_open = True

    @contextmanager
    def held(self) -> Iterator["SmallModel"]:
        yield self

    def count_tokens(self, messages: Sequence[Message]) -> int:
        return sum(len(message.content.split()) for message in messages)

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, client: str = "", *, priority: int = 0
    ) -> AsyncGenerator[Piece | Finished, None]:
        for number, word in enumerate(self._text.split()):
            await asyncio.sleep(0)
            assert self._is_open, "a model was closed that still answers"
            yield Piece(word + " ", math.log(0.9), number)
        yield Finished("stop", self.count_tokens(messages), 2)

    async def score(self, text: str, *, priority: int = 0) -> Scored:
        return Scored((math.log(0.9),) * len(text.split()))

    async def close(self) -> None:
        self._is_open = False


def say(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class UpdatingAgent:
    """The agent.

    Args:
        state: its folder.
        run: the number of this run: its prompts' ids begin with it.
    """

    def __init__(self, state: Path, run: int) -> None:
        self._run = run
        self._slots = Slots(state / "models" / "slots", spare_bytes=0)
        self._models = CurrentModel(SmallModel, lambda _: run % 2 == 0)
        self._bundle = state / "no-bundle"
        self._database = Database(state / "agent.db")
        self._inbox = Inbox(self._database)
        self._pipeline = Pipeline(self._parts())

    async def start(self, started: float) -> None:
        """Opens the model, answers one prompt, and says how long that took and what the store holds."""
        for kept in await self._inbox.undelivered(ENDLESS):
            assert kept.answer is not None
            say(kept=kept.prompt_id, text=kept.answer.decode())
            say(delivering=kept.prompt_id)
            await self._inbox.set_delivered(kept.sequence, datetime.now(UTC))
        found = self._slots.start()
        say(found=None if found.index is None else found.index.version, problems=found.problems)
        if found.bundle is None:
            self._update(1)
        await open_model(self._models, self._slots, self._bundle)
        text = await self._answer("hello", f"{self._run}-first")
        say(serving=text, seconds=monotonic() - started)
        while (entry := await self._inbox.begin(0)) is not None:
            await self._answer_kept(entry)

    async def work(self, updates: int) -> None:
        """Answers and is updated, until it has been often enough."""
        askers = [asyncio.create_task(self._ask(number)) for number in range(ASKERS)]
        updating = asyncio.create_task(self._be_updated(updates))
        done, _ = await asyncio.wait([updating, *askers], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        for asker in askers:
            asker.cancel()

    async def _be_updated(self, updates: int) -> None:
        version = int(self._models.bundle.version)
        for number in range(version + 1, version + 1 + updates):
            if self._state() is SlotState.CURRENT:
                await asyncio.to_thread(self._slots.prove)
                say(proven=self._models.bundle.version)
            if number % 3 == 0:
                await asyncio.to_thread(self._slots.reclaim)
            await asyncio.to_thread(self._update, number)
            say(switched=str(number))
            assert self._slots.bundle is not None
            await self._models.exchange(self._slots.bundle)

    def _state(self) -> SlotState:
        return self._slots.record.entries[self._slots.record.current].state

    def _update(self, number: int) -> None:
        version = make_version(number, 60_000)
        self._slots.stage(version.index_json, version.read)
        self._slots.switch()

    async def _ask(self, asker: int) -> None:
        for number in range(ENDLESS):
            prompt_id = f"{self._run}-{asker}-{number}"
            new = NewPrompt("device", prompt_id, f"question {prompt_id}".encode(), "answers", None, datetime.now(UTC))
            await self._inbox.put(new, ENDLESS)
            say(taken=prompt_id)
            taken = await self._inbox.begin(0)
            if taken is not None:
                await self._answer_kept(taken)

    async def _answer_kept(self, entry: InboxEntry) -> None:
        assert entry.payload is not None
        text = await self._answer(entry.payload.decode(), entry.prompt_id)
        await self._inbox.set_answer(entry.sequence, text.encode(), "text/plain")
        say(answered=entry.prompt_id, text=text)

    async def _answer(self, question: str, prompt_id: str) -> str:
        while True:
            try:
                pieces = [piece async for piece in self._pipeline.answer(self._prompt(question, prompt_id))]
            except ModelAway:
                await asyncio.sleep(0.01)
                continue
            answer = pieces[-1]
            assert isinstance(answer, Answer)
            assert answer.receipt.model == f"models/tiny/versions/{answer.text.split()[0]}", "the receipt names another model"
            return answer.text

    def _prompt(self, question: str, prompt_id: str) -> Prompt:
        return Prompt(prompt_id, "device", (Message("user", question),), datetime.now(UTC))

    def _parts(self) -> Parts:
        policy = Policy(resources.files("contract").joinpath("default.cedar").read_text())
        return Parts(
            agent_id="a1",
            classifier=classifier(),
            policy=policy,
            cache=ExactCache(AnswerStore(self._database, 100, 3600), b"k" * 32, [policy.digest]),
            models=self._models,
            confidence=ConfidenceSettings(bar=0.5, held_tokens=2),
            escalator=NoHub(),
            redactor=Redactor(MemoryVaults()),
            conversations=ConversationStore(self._database, 3600),
            classes=ClassStore(self._database, 3600),
            receipts=ReceiptStore(self._database, 3600),
            metrics=Metrics(CollectorRegistry()),
        )


async def main(state: Path, run: int, updates: int) -> None:
    """Runs until it has been updated so often."""
    started = monotonic()
    agent = UpdatingAgent(state, run)
    await agent.start(started)
    await agent.work(updates)
    say(ended=run)


def serve_runs() -> None:
    """Reads `STATE RUN UPDATES` lines, and runs each in a process of its own: imports are made once."""
    for line in sys.stdin:
        state, run, updates = line.split()
        pid = os.fork()
        if pid == 0:
            try:
                asyncio.run(main(Path(state), int(run), int(updates)))
            except BaseException as error:  # noqa: BLE001 - a disk without power fails everywhere; the test reads how
                say(failed=f"{type(error).__name__}: {error}")
            os._exit(0)
        os.waitpid(pid, 0)
        say(over=int(run))


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    serve_runs()
