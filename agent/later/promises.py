"""Promises a better answer: the prompt is in the outbox, on the disk, before the provisional one is given."""

import sqlite3
from datetime import UTC, datetime

import structlog

from agent.cache.exact import repeatable
from agent.later.prompts import LatePrompt
from agent.store.outbox import Outbox, OutboxEntry
from agent.store.subjects import Subject

_log = structlog.get_logger(__name__)


class Promises:
    """Puts prompts into the outbox.

    Args:
        outbox: where they wait.
        seconds: for how long after its provisional answer a prompt is worth a better one.
    """

    def __init__(self, outbox: Outbox, seconds: float) -> None:
        self.outbox = outbox
        self._seconds = seconds

    async def promise(self, late: LatePrompt, may_cache: bool, now: datetime) -> datetime | None:
        """Keeps a prompt to be asked again. Returns until when; None: no better answer follows.

        A store that does not take it costs the promise, not the answer. What would reach nobody is not promised: a better answer is for
        the device by MQTT, for whoever asks the same, or for the conversation.

        Args:
            late: the prompt.
            may_cache: whether its answer may be kept.
            now: the time, UTC.
        """
        prompt = late.prompt
        asked_time, expire_time = prompt.received_time.timestamp(), now.timestamp() + self._seconds
        is_for_somebody = prompt.intake == "mqtt" or prompt.conversation is not None or (may_cache and repeatable(prompt.sampling))
        if not is_for_somebody:
            return None
        subject, entry_id = Subject(prompt.client, prompt.conversation), self.outbox.name(prompt.client, prompt.prompt_id)
        try:
            is_kept = await self.outbox.append(OutboxEntry(entry_id, subject, late.to_bytes(), asked_time, expire_time))
        except sqlite3.DatabaseError as error:
            _log.error("no better answer is promised: the store cannot be used", error=str(error))
            return None
        return datetime.fromtimestamp(expire_time, UTC) if is_kept else None
