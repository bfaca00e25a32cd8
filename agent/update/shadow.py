"""Compares a new model with the one that serves, on live prompts: what the new one says is counted and thrown away.

It is asked after the client has its answer, one prompt at a time, and only while nobody else is: as soon as a prompt comes, the
comparison is given up, and tried again later.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from time import monotonic

from agent.inference.answer import Piece
from agent.inference.current import LoadedModel
from agent.traffic import LiveAnswer, Traffic
from agent.update.health_gate import LOW_PRIORITY
from contract import health

_MOST_WAITING = 16
_MOST_TRIES = 3
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class _Sample:
    answer: LiveAnswer
    tries: int = 0


class Shadow:
    """A shadow run.

    Args:
        traffic: tells of live answers.
        is_asked: says whether a prompt is being answered now.
        percent: of the answers that are compared.
        randomness: chooses them.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        traffic: Traffic,
        is_asked: Callable[[], bool],
        percent: int,
        randomness: random.Random,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._traffic = traffic
        self._is_asked = is_asked
        self._percent = percent
        self._randomness = randomness
        self._clock = clock
        self._waiting: deque[_Sample] = deque(maxlen=_MOST_WAITING)
        self._alike = self._said = self.compared = 0

    @property
    def figures(self) -> dict[str, float]:
        """The agreement; nothing where nothing was compared."""
        return {health.SHADOW_AGREEMENT: self._alike / self._said} if self._said else {}

    async def run(self, model: LoadedModel, answers: int, seconds: float) -> None:
        """Compares, until there is enough of it; to be cancelled at any time.

        Args:
            model: the new one.
            answers: so many end it.
            seconds: or so long.
        """
        begun = self._clock()
        self._traffic.listen(self._offer)
        try:
            while self.compared < answers and self._clock() - begun < seconds:
                if self._waiting and not self._is_asked():
                    await self._compare(model, self._waiting.popleft())
                else:
                    await asyncio.sleep(min(_LOOK_SECONDS, seconds))
        finally:
            self._traffic.listen(None)

    def _offer(self, answer: LiveAnswer) -> None:
        if answer.texts and answer.is_greedy and self._randomness.random() * 100 < self._percent:
            self._waiting.append(_Sample(answer))

    async def _compare(self, model: LoadedModel, sample: _Sample) -> None:
        answer = sample.answer
        sampling = replace(answer.sampling, max_tokens=answer.output_tokens)
        text = ""
        async with aclosing(model.generate(answer.messages, sampling, priority=LOW_PRIORITY)) as pieces:
            async for piece in pieces:
                if self._is_asked():
                    if sample.tries + 1 < _MOST_TRIES:
                        self._waiting.appendleft(replace(sample, tries=sample.tries + 1))
                    return
                text += piece.text if isinstance(piece, Piece) else ""
        self.compared += 1
        self._said += len(answer.texts)
        self._alike += alike(answer.texts, text)


def alike(texts: Sequence[str], other: str) -> int:
    """Returns how many pieces another text begins with as well."""
    said = ""
    for number, text in enumerate(texts):
        said += text
        if not other.startswith(said):
            return number
    return len(texts)
