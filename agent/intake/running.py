"""An answer under way, in a task of its own, so that it can be waited for, left and cancelled from anywhere."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

from agent.intake.failures import refusal
from agent.prompts import Answer, Answerer, Delta, Prompt


class RunningAnswer:
    """Starts to answer a prompt. Must be closed.

    Args:
        answerer: what answers.
        prompt: the prompt.
    """

    def __init__(self, answerer: Answerer, prompt: Prompt) -> None:
        self._client = prompt.client
        # Without a limit: what waits here for a slow reader is never more than one answer.
        self._pieces: asyncio.Queue[Delta | Answer | None] = asyncio.Queue()
        self._task = asyncio.create_task(self._run(cast(AsyncGenerator[Delta | Answer, None], answerer.answer(prompt))))

    async def _run(self, pieces: AsyncGenerator[Delta | Answer, None]) -> None:
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    self._pieces.put_nowait(piece)
        finally:
            self._pieces.put_nowait(None)

    async def next_piece(self) -> Delta | Answer:
        """Returns the next piece; the last one is the Answer.

        Raises:
            SeawallError: the prompt was refused, or the answer failed.
        """
        piece = await self._pieces.get()
        if piece is not None:
            return piece
        (ending,) = await asyncio.gather(self._task, return_exceptions=True)
        raise refusal(ending or RuntimeError("the pipeline ended without an answer"), self._client)

    async def answer(self) -> Answer:
        """Returns the whole answer.

        Raises:
            SeawallError: as `next_piece`.
        """
        while not isinstance(piece := await self.next_piece(), Answer):
            pass
        return piece

    async def close(self) -> None:
        """Cancels what is left of the work, and waits until it has stopped."""
        self._task.cancel()
        await asyncio.wait([self._task])
