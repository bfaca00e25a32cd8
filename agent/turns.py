"""The turns of a conversation: each is answered when the one before it is, and so sees its answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from agent.prompts import Prompt


class Turns:
    """Lets one prompt of each conversation pass at a time, in the order in which they came. Holds nothing of conversations that rest."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._locks)

    @asynccontextmanager
    async def of(self, prompt: Prompt) -> AsyncIterator[None]:
        """Waits for a prompt's turn, and holds it until the block ends. A prompt without a conversation does not wait."""
        if prompt.conversation is None:
            yield
            return
        lock = self._locks.setdefault((prompt.client, prompt.conversation), asyncio.Lock())
        async with lock:
            yield
