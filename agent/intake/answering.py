"""From the inbox to the broker: prompts are answered, a few at a time, then their answers are delivered."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial

import stamina
import structlog

from agent.intake import payloads
from agent.intake.broker import Outgoing
from agent.intake.connection import Connection, ConnectionLost, PublishRefused
from agent.intake.running import RunningAnswer
from agent.intake.topics import ClientTopics
from agent.prompts import Answer, Answerer, Delta, Prompt
from agent.store.inbox import Inbox, InboxEntry
from contract.errors import Reason, SeawallError, Unavailable
from contract.tracing import read_traceparent

_log = structlog.get_logger("intake")

_MAX_ATTEMPTS = 3
"""A prompt on which the whole process died so often is given up, so that it does not die of it for ever."""

_DELIVERED_AT_ONCE = 16

_stored = stamina.AsyncRetryingCaller(attempts=None, timeout=None, wait_max=30.0).on(Unavailable)
"""Repeats what the store could not do, until it can. Called with closures, since it logs arguments."""


class Answering:
    """Answers what is in the inbox, oldest first.

    Args:
        agent_id: for topics.
        inbox: where prompts are.
        answerer: what answers them.
        max_concurrent: how many at once.
        connection: takes the pieces of answers; if it is away, they are lost, and only the whole answer comes.
        answered: called when an answer is in the inbox.
    """

    def __init__(
        self,
        agent_id: str,
        inbox: Inbox,
        answerer: Answerer,
        max_concurrent: int,
        connection: Connection,
        answered: Callable[[], None],
    ) -> None:
        self._agent_id = agent_id
        self._inbox = inbox
        self._answerer = answerer
        self._max_concurrent = max_concurrent
        self._slots = asyncio.Semaphore(max_concurrent)
        self._connection = connection
        self._answered = answered
        self._arrived = asyncio.Event()

    def prompt_arrived(self) -> None:
        """Says that there is a new prompt in the inbox."""
        self._arrived.set()

    async def run(self) -> None:
        """Answers until cancelled. What was begun then stays in the inbox."""
        last = 0
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._slots.acquire()
                entry = await self._next(last)
                last = entry.sequence
                # Alone, if the process died while it was worked on: the others should not be blamed if it dies again.
                slots = self._max_concurrent if entry.attempts > 1 else 1
                for _ in range(slots - 1):
                    await self._slots.acquire()
                tasks.create_task(self._answer(entry)).add_done_callback(partial(self._free, slots))

    def _free(self, slots: int, _task: asyncio.Task[None]) -> None:
        for _ in range(slots):
            self._slots.release()

    async def _next(self, last: int) -> InboxEntry:
        while True:
            self._arrived.clear()
            entry = await _stored(lambda: self._inbox.begin(last))
            if entry is not None:
                return entry
            await self._arrived.wait()

    async def _answer(self, entry: InboxEntry) -> None:
        better_until = None
        try:
            worked = await self._worked(entry)
            answer, content_type, better_until = payloads.write_answer(entry.prompt_id, worked), payloads.JSON, worked.better_until
        except SeawallError as error:
            answer, content_type = payloads.write_problem(error, entry.prompt_id), payloads.PROBLEM_JSON
        await _stored(lambda: self._inbox.set_answer(entry.sequence, answer, content_type, better_until))
        self._answered()

    async def _worked(self, entry: InboxEntry) -> Answer:
        if entry.attempts > _MAX_ATTEMPTS:
            _log.error("prompt_given_up", client=entry.client, attempts=_MAX_ATTEMPTS)
            raise SeawallError(Reason.INTERNAL, f"The agent ended {_MAX_ATTEMPTS} times while it worked on this prompt: it is given up.")
        if entry.payload is None:
            raise _unreadable()
        read = payloads.read_prompt(entry.payload, entry.client, entry.prompt_id, entry.received_time)
        prompt = replace(read, intake="mqtt", trace_parent=read_traceparent([entry.trace_parent]))
        running = RunningAnswer(self._answerer, prompt)
        try:
            index = 0
            while isinstance(piece := await running.next_piece(), Delta):
                await self._send_piece(entry, prompt, payloads.write_chunk(entry.prompt_id, index, piece.text))
                index += 1
            await self._send_piece(entry, prompt, payloads.write_last_chunk(entry.prompt_id, index))
            return piece
        finally:
            await running.close()

    async def _send_piece(self, entry: InboxEntry, prompt: Prompt, chunk: bytes) -> None:
        if prompt.stream:
            topic = ClientTopics(self._agent_id, entry.client).chunks
            with suppress(ConnectionLost):
                await self._connection.publish(Outgoing(topic, chunk, payloads.JSON, entry.correlation_data, qos=0))


class Delivery:
    """Publishes the answers in the inbox, each until the broker confirms it.

    An answer can reach the broker twice only if the process or the connection ends between its PUBLISH leaving here and its PUBACK being
    written to the store: one round trip to the broker and one commit, some milliseconds. MQTT's QoS 1 cannot do without such a
    window; whoever must not act twice goes by the answer's `id`.

    Args:
        inbox: where answers are.
        connection: to the broker.
        clock: for the time of delivery.
    """

    def __init__(self, inbox: Inbox, connection: Connection, clock: Callable[[], datetime]) -> None:
        self._inbox = inbox
        self._connection = connection
        self._clock = clock
        self._wanted = asyncio.Event()

    def answer_ready(self) -> None:
        """Says that there is an answer to be delivered."""
        self._wanted.set()

    async def run(self) -> None:
        """Delivers until cancelled."""
        while True:
            await self._connection.wait_connected()
            self._wanted.clear()
            entries = await _stored(lambda: self._inbox.undelivered(_DELIVERED_AT_ONCE))
            if entries:
                await asyncio.gather(*(self._deliver(entry) for entry in entries))
            else:
                await self._wanted.wait()

    async def _deliver(self, entry: InboxEntry) -> None:
        answer, content_type = entry.answer, entry.content_type or ""
        if answer is None:
            answer, content_type = payloads.write_problem(_unreadable(), entry.prompt_id), payloads.PROBLEM_JSON
        message = Outgoing(entry.response_topic, answer, content_type, entry.correlation_data)
        try:
            await self._connection.publish(message)
        except ConnectionLost:
            return
        except PublishRefused as refused:
            # Asking again would not change the broker's mind; the answer is given up, as an MQTT 3.1.1 broker does it without a word.
            _log.error("answer_refused_by_broker", client=entry.client, reason=str(refused), advice="check the broker's access list")
        await _stored(lambda: self._inbox.set_delivered(entry.sequence, self._clock()))


def _unreadable() -> SeawallError:
    return SeawallError(
        Reason.PROMPT_LOST, "The agent took this prompt and has lost the key that it was kept under: send it again, under another id."
    )
