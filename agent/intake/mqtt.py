"""Prompts that come by MQTT, 5 or 3.1.1.

A prompt is acknowledged when it is in the inbox, on the disk, and answered once: the same id with the same payload again is
acknowledged and not answered again, for as long as `retention_seconds`. An id is what the prompt says; else what its Correlation Data
says; else one is made up.
"""

import asyncio
import hashlib
import random
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from agent.intake import payloads, topics
from agent.intake.answering import Answering, Delivery
from agent.intake.better_answers import BetterAnswers
from agent.intake.broker import Incoming, Outgoing
from agent.intake.connection import Connection, ConnectionLost, PublishRefused
from agent.intake.feedback import GiveFeedback, read_feedback
from agent.intake.fields import is_id
from agent.intake.settings import MqttSettings
from agent.intake.topics import ClientTopics
from agent.prompts import Answerer
from agent.store.inbox import Inbox, NewPrompt
from contract.errors import PayloadTooLarge, Reason, SeawallError, Unavailable

_log = structlog.get_logger("intake")

_MAX_HELD_BYTES = 16 * 1024 * 1024
"""So much of QoS 0, which nobody has promised to keep, waits for the inbox at most; with QoS 1, the broker holds the rest back."""


class MqttIntake:
    """Takes prompts from the broker, and gives their answers to it.

    Args:
        settings: where the broker is, and the limits.
        agent_id: a DNS label.
        inbox: where prompts and answers are kept.
        answerer: what answers.
        clock: the time, in UTC.
        randomness: for ids and for waits.
        refused: told of each prompt that is not taken, and why.
        give_feedback: takes what clients say of answers; None: nobody does.

    Raises:
        NotPossibleNow: CONFIG_INVALID, the files for TLS cannot be used.
    """

    def __init__(
        self,
        settings: MqttSettings,
        agent_id: str,
        inbox: Inbox,
        answerer: Answerer,
        clock: Callable[[], datetime],
        randomness: random.Random,
        refused: Callable[[Reason], None] = lambda _: None,
        give_feedback: GiveFeedback | None = None,
    ) -> None:
        self._settings = settings
        self._agent_id = agent_id
        self._inbox = inbox
        self._clock = clock
        self._randomness = randomness
        self._refused = refused
        self._give_feedback = give_feedback
        self._incoming: asyncio.Queue[Incoming] = asyncio.Queue()
        self._held_bytes = 0
        self._connection = Connection(
            settings,
            client_id=f"seawall-agent-{agent_id}",
            subscription=topics.subscription(agent_id),
            hello=_status(agent_id, "online"),
            goodbye=_status(agent_id, "offline"),
            receive=self._received,
            randomness=randomness,
        )
        self._delivery = Delivery(inbox, self._connection, clock)
        self.better_answers = BetterAnswers(inbox, self._delivery.answer_ready, clock)
        self._answering = Answering(
            agent_id, inbox, answerer, settings.max_concurrent_prompts, self._connection, self._delivery.answer_ready
        )

    @property
    def connected(self) -> bool:
        """Whether prompts can come in now."""
        return self._connection.connected

    async def run(self) -> None:
        """Takes and answers prompts until cancelled; then says goodbye to the broker. That the broker is away is no error."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._connection.run())
            tasks.create_task(self._take())
            tasks.create_task(self._answering.run())
            tasks.create_task(self._delivery.run())
            tasks.create_task(self._forget())

    def _received(self, message: Incoming) -> None:
        if message.qos == 0 and self._held_bytes + message.size_bytes > _MAX_HELD_BYTES:
            _log.warning("prompt_dropped", advice="too many come at once: send them with QoS 1")
            return
        self._held_bytes += message.size_bytes
        self._incoming.put_nowait(message)

    async def _take(self) -> None:
        while True:
            message = await self._incoming.get()
            self._held_bytes -= message.size_bytes
            try:
                await self._handle(message)
            except ConnectionLost:
                continue  # the broker will send it again
            self._connection.acknowledge(message)

    async def _handle(self, message: Incoming) -> None:
        client, leaf = topics.split(message.topic)
        if message.retained or leaf in (topics.ANSWERS, topics.CHUNKS) or not is_id(client):
            _log.debug("message_ignored", retained=message.retained)
            return
        try:
            await self._take_from(ClientTopics(self._agent_id, client), leaf, message)
        except PublishRefused as refused:
            _log.error("problem_refused_by_broker", client=client, reason=str(refused), advice="check the broker's access list")

    async def _take_from(self, client: ClientTopics, leaf: str, message: Incoming) -> None:
        new = False
        try:
            if leaf == topics.FEEDBACK and self._give_feedback is not None:
                feedback = read_feedback(self._whole(message))
                await self._give_feedback(client.client, feedback.prompt_id, feedback.is_good)
            else:
                new = await self._inbox.put(self._read(client, leaf, message), self._settings.max_waiting_prompts)
        except SeawallError as error:
            _log.info("prompt_refused", client=client.client, reason=error.reason)
            self._refused(error.reason)
            await self._connection.publish(_problem(client, message, error))
        if new:
            self._answering.prompt_arrived()

    def _read(self, client: ClientTopics, leaf: str, message: Incoming) -> NewPrompt:
        topics.check_leaf(leaf)
        response_topic = client.reply_topic(message.response_topic)
        payload = self._whole(message)
        made_up = self._make_id(message)
        now = self._clock()
        prompt = payloads.read_prompt(payload, client.client, made_up, now)
        known_by_packet = prompt.prompt_id == made_up and message.correlation_data is None and message.qos > 0
        return NewPrompt(
            client=client.client,
            prompt_id=prompt.prompt_id,
            payload=payload,
            response_topic=response_topic,
            correlation_data=message.correlation_data,
            received_time=now,
            packet_id=message.packet_id if known_by_packet else None,
            redelivered=message.redelivered,
            trace_parent="" if message.trace_parent is None else str(message.trace_parent),
            conversation=prompt.conversation,
        )

    def _whole(self, message: Incoming) -> bytes:
        if message.payload is None:
            limit = self._settings.max_payload_bytes
            raise PayloadTooLarge(Reason.PAYLOAD_TOO_LARGE, f"The prompt is longer than {limit} bytes: shorten it.")
        return message.payload

    def _make_id(self, message: Incoming) -> str:
        if message.correlation_data is not None:
            return "correlation-" + hashlib.sha256(message.correlation_data).hexdigest()[:32]
        return f"prompt-{self._randomness.getrandbits(128):032x}"

    async def _forget(self) -> None:
        retention = timedelta(seconds=self._settings.retention_seconds)
        while True:
            try:
                await self._inbox.forget(self._clock() - retention, self._clock())
            except Unavailable as error:
                _log.error("inbox_not_cleaned", reason=error.reason)
            await asyncio.sleep(min(3600.0, self._settings.retention_seconds / 10))


def _status(agent_id: str, state: payloads.State) -> Outgoing:
    return Outgoing(topics.status(agent_id), payloads.write_status(state, agent_id), payloads.JSON, retain=True)


def _problem(client: ClientTopics, message: Incoming, error: SeawallError) -> Outgoing:
    try:
        topic = client.reply_topic(message.response_topic)
    except SeawallError:
        topic = client.answers
    prompt_id = payloads.read_id(message.payload or b"")
    return Outgoing(topic, payloads.write_problem(error, prompt_id), payloads.PROBLEM_JSON, message.correlation_data)
