"""What stands in the model's place while there is none: it says when to ask again, or why there is nothing to wait for."""

from collections.abc import AsyncGenerator, Sequence

from agent.inference.answer import Finished, Piece
from agent.inference.scoring import Scored
from agent.prompts import Message, Sampling
from contract.bundle import Bundle, Shape, Source
from contract.errors import Reason, Unavailable

NO_BUNDLE = Bundle(
    name="none",
    version="none",
    precision="none",
    license="none",
    source=Source("none", "none", "none", ""),
    shape=Shape(1, 1, 1, 1, 1),
    chat_template="",
    stop_token_ids=(),
    files={},
)
"""What is said of the model where there has been none yet."""

_CHARACTERS_PER_TOKEN = 3
_UNBOUNDED_CONTEXT_TOKENS = 8192


class ModelAway(Unavailable):
    """There is no model on this device now; the cache and the hub may still answer."""


def model_loading(seconds: float) -> ModelAway:
    """Returns the refusal while a model is loaded.

    Args:
        seconds: until it is, about.
    """
    return ModelAway(Reason.MODEL_LOADING, f"The model is being exchanged for another. Ask again in about {max(1, round(seconds))} s.")


class AwayModel:
    """Takes the model's place.

    Args:
        refusal: what every prompt is told.
        before: the model that was here; what it has answered stays in the cache.
        context_tokens: of that model.
    """

    def __init__(self, refusal: ModelAway, before: Bundle = NO_BUNDLE, context_tokens: int = _UNBOUNDED_CONTEXT_TOKENS) -> None:
        self.bundle = before
        self.context_tokens = context_tokens
        self.refusal = refusal

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Returns about how many tokens a conversation has: the tokenizer is away too."""
        return sum(len(message.content) // _CHARACTERS_PER_TOKEN + 1 for message in messages)

    async def generate(
        self, messages: Sequence[Message], sampling: Sampling, client: str = "", *, priority: int = 0
    ) -> AsyncGenerator[Piece | Finished, None]:
        """Refuses.

        Raises:
            ModelAway: MODEL_LOADING or MODEL_UNAVAILABLE.
        """
        del messages, sampling, client, priority
        pieces: tuple[Piece | Finished, ...] = ()  # an asynchronous generator, as the engine's is: it refuses when it is read
        for piece in pieces:
            yield piece
        raise ModelAway(self.refusal.reason, self.refusal.message)

    async def score(self, text: str, *, priority: int = 0) -> Scored:
        """Refuses.

        Raises:
            ModelAway: MODEL_LOADING or MODEL_UNAVAILABLE.
        """
        del text, priority
        raise ModelAway(self.refusal.reason, self.refusal.message)

    async def close(self) -> None:
        """There is nothing to close."""
