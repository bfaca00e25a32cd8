"""What live prompts say of the model that answers them: counted, and a sample handed to whoever compares models.

Counts are kept in memory and written a few seconds later: a synced write for every answer would cost a small disk more than they tell. A
power cut loses those seconds.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from agent.prompts import Message, Sampling
from agent.store.live import LiveCounts, LiveStore


@dataclass(frozen=True, slots=True)
class LiveAnswer:
    """An answer that the model on the device began.

    Args:
        model_digest: of the model.
        is_unsure: whether it was below the bar.
        messages: what was asked.
        sampling: how its tokens were chosen.
        texts: its pieces, if it was the one that was given; none: another answer was.
        output_tokens: of it.
    """

    model_digest: str
    is_unsure: bool
    messages: tuple[Message, ...] = field(repr=False)
    sampling: Sampling
    texts: tuple[str, ...] = field(repr=False)
    output_tokens: int

    @property
    def is_greedy(self) -> bool:
        """Whether another model, asked the same, can be compared with it word by word."""
        return self.sampling.temperature == 0 and self.sampling.repetition_penalty == 1


class Traffic:
    """Hears of every answer of the model on the device."""

    def __init__(self) -> None:
        self._counted: dict[str, LiveCounts] = {}
        self._listener: Callable[[LiveAnswer], None] | None = None

    def answered(self, answer: LiveAnswer) -> None:
        """Counts an answer that has come to its end, or was judged and then got from the hub."""
        before = self._counted.get(answer.model_digest, LiveCounts())
        self._counted[answer.model_digest] = before.plus(answers=1, unsure=int(answer.is_unsure))
        if self._listener is not None:
            self._listener(answer)

    def broke(self, model_digest: str) -> None:
        """Counts an answer that has broken off by an error of the model."""
        self._counted[model_digest] = self._counted.get(model_digest, LiveCounts()).plus(errors=1)

    def listen(self, listener: Callable[[LiveAnswer], None] | None) -> None:
        """Has somebody told of each answer; None: nobody any more."""
        self._listener = listener

    async def write(self, store: LiveStore) -> None:
        """Writes down what was counted since the last time.

        Raises:
            Unavailable: STORE_UNAVAILABLE; it is written the next time.
        """
        counted, self._counted = self._counted, {}
        if not counted:
            return
        try:
            await store.add(counted)
        except BaseException:
            for digest, counts in counted.items():
                later = self._counted.get(digest, LiveCounts())
                self._counted[digest] = later.plus(counts.answers, counts.errors, counts.unsure)
            raise
