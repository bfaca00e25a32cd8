"""Better answers to prompts that came by MQTT go where the provisional ones went. By HTTP nobody waits: the cache has them."""

from collections.abc import Callable
from datetime import datetime

from agent.intake import payloads
from agent.later.prompts import LatePrompt
from agent.prompts import Answer
from agent.store.inbox import Inbox, Wanted


class BetterAnswers:
    """See agent.later.worker.Recipients.

    Args:
        inbox: where prompts and answers are kept.
        ready: called when a better answer is in the inbox.
        clock: the time, in UTC.
    """

    def __init__(self, inbox: Inbox, ready: Callable[[], None], clock: Callable[[], datetime]) -> None:
        self._inbox = inbox
        self._ready = ready
        self._clock = clock

    async def want(self, late: LatePrompt) -> Wanted:
        """See Recipients."""
        if late.prompt.intake != "mqtt":
            return Wanted.YES
        return await self._inbox.wants_better(late.prompt.client, late.prompt.prompt_id, self._clock())

    async def give(self, late: LatePrompt, answer: Answer) -> None:
        """See Recipients."""
        prompt = late.prompt
        if prompt.intake != "mqtt":
            return
        payload = payloads.write_answer(prompt.prompt_id, answer, replaces=late.receipt_id)
        if await self._inbox.set_better_answer(prompt.client, prompt.prompt_id, payload, payloads.JSON, self._clock()):
            self._ready()
