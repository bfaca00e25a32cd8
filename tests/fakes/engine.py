"""A model that answers what it is told to, token by token, as the engine would."""

import math
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager

from agent.inference.engine import Finished, Piece
from agent.inference.scoring import Scored
from agent.prompts import Message, Sampling
from contract.bundle import Bundle, Shape, Source

BUNDLE = Bundle(
    name="fake",
    version="1",
    precision="int8",
    license="Apache-2.0",
    source=Source("test", "fake", "1", ""),
    shape=Shape(1, 1, 8, 16, 4096),
    chat_template="",
    stop_token_ids=(0,),
    files={},
)


class FakeEngine:
    """Gives one answer to everything.

    Args:
        words: of the answer.
        probability: of each word; one for all, or one a word.
        error: raised in place of an answer.
    """

    bundle = BUNDLE
    context_tokens = 64

    def __init__(self, words: Sequence[str], probability: float | Sequence[float], error: Exception | None = None) -> None:
        self.words = words
        self.probabilities = [probability] * len(words) if isinstance(probability, float) else list(probability)
        self.error = error
        self.asked: list[tuple[Message, ...]] = []
        self.seeds: list[int | None] = []
        self.given_words = 0
        self.is_cancelled = False

    @contextmanager
    def held(self) -> Iterator["FakeEngine"]:
        yield self

    def count_tokens(self, messages: Sequence[Message]) -> int:
        return sum(len(message.content.split()) for message in messages)

    async def generate(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        client: str = "",
        *,
        priority: int = 0,
        deadline_seconds: float | None = None,
    ) -> AsyncGenerator[Piece | Finished, None]:
        del client, priority, deadline_seconds
        self.seeds.append(sampling.seed)
        self.asked.append(tuple(messages))
        if self.error is not None:
            raise self.error
        try:
            for number, word in enumerate(self.words[: sampling.max_tokens]):
                self.given_words += 1
                yield Piece(word, math.log(self.probabilities[number]), number)
            if sampling.max_tokens is not None and sampling.max_tokens <= len(self.words):
                yield Finished("length", self.count_tokens(messages), sampling.max_tokens)
            else:
                yield Finished("stop", self.count_tokens(messages), len(self.words) + 1)
        except GeneratorExit:
            self.is_cancelled = True
            raise

    async def score(self, text: str, *, priority: int = 0) -> Scored:
        """Every word of it is as likely as the first of the answer."""
        return Scored((math.log(self.probabilities[0]),) * max(1, len(text.split()) - 1))
