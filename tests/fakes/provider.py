"""A provider that answers, fails or waits as its script says."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Literal

from hub.config import ProviderSettings
from hub.escalation.prompts import Escalation, Finish, TextDelta

FINISH = Finish("model-as-it-says", 11, 5, "stop")

Script = Sequence[TextDelta | Finish | Exception | asyncio.Event]


class FakeProvider:
    """Follows its script: pieces are given, errors raised, events waited for.

    Args:
        name: of the provider.
        script: of every answer; may be changed.
    """

    def __init__(self, name: str, script: Script, tier: Literal["private", "public"] = "private", **settings: Any) -> None:
        self.settings = ProviderSettings(name=name, kind="openai", model="m", tier=tier, region=f"{name}-region", **settings)
        self.script = script
        self.asked: list[Escalation] = []
        self.left = 0
        """How many answers ended, in whatever way."""
        self.closed = False

    async def answer(self, escalation: Escalation) -> AsyncGenerator[TextDelta | Finish, None]:
        self.asked.append(escalation)
        try:
            for step in self.script:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, asyncio.Event):
                    await step.wait()
                else:
                    yield step
        finally:
            self.left += 1

    async def close(self) -> None:
        self.closed = True


def answering(name: str, *texts: str, **settings: Any) -> FakeProvider:
    """One that answers well."""
    return FakeProvider(name, [*(TextDelta(text) for text in texts), FINISH], **settings)
