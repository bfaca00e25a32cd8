"""A way to the hub that records what was sent, and breaks where it is told to."""

from collections.abc import AsyncGenerator, Callable, Sequence

from agent.escalation import Completion, EscalationFailed
from agent.prompts import Message, Sampling
from contract.classification import Classification
from contract.decision import Decision
from contract.surroundings import Surroundings

COMPLETION = Completion("cloud", "private", "eu", "big-model", 5, 7, "stop")


class FakeEscalator:
    """Gives one answer to everything.

    Args:
        pieces: of the answer.
        breaks_after: how many pieces come before it fails; None: it does not.
        sent: whether a failure comes after the prompt has left.
    """

    def __init__(self, pieces: Sequence[str], breaks_after: int | None = None, sent: bool = True) -> None:
        self.pieces = pieces
        self.breaks_after = breaks_after
        self.is_sent_on_failure = sent
        self.sent: list[tuple[Message, ...]] = []
        self.around: list[Surroundings] = []
        self.answer: Callable[[Sequence[Message]], Sequence[str]] = lambda _: self.pieces

    async def connect(self) -> None:
        if self.breaks_after == 0 and not self.is_sent_on_failure:
            raise EscalationFailed("hub-unavailable", sent=False)

    async def escalate(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        classification: Classification,
        decision: Decision,
        surroundings: Surroundings,
    ) -> AsyncGenerator[str | Completion, None]:
        del sampling, classification, decision
        self.sent.append(tuple(messages))
        self.around.append(surroundings)
        for number, piece in enumerate(self.answer(messages)):
            if number == self.breaks_after:
                raise EscalationFailed("hub-unavailable", sent=True)
            yield piece
        if self.breaks_after is not None:
            raise EscalationFailed("hub-unavailable", sent=True)
        yield COMPLETION
