"""The values that walk through the agent. All are frozen; nothing here does anything."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from contract.classification import Classification, DataClass
from contract.decision import Decision
from contract.receipts import Receipt
from contract.tracing import TraceParent

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", "content_filter"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the answer's tokens are chosen. Temperature 0 is greedy."""

    max_tokens: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a client asks.

    Args:
        prompt_id: unique for this client; a second prompt of the same id is the same prompt.
        client: who asks: an MQTT client's name in its topic, or the name of an HTTP API key.
        messages: oldest first, the last one the user's.
        conversation: an id chosen by the client; earlier turns are kept under it, bound to this client.
        stream: whether pieces are wanted as they come.
        intake: by which way it came.
        trace_parent: the trace that the client says it belongs to.
        timeout_seconds: how long the client waits for the answer, from `received_time` on; None: it does not say.
        floor: the least class that the client wants it to have, and all later prompts of its conversation.
    """

    prompt_id: str
    client: str
    messages: tuple[Message, ...]
    received_time: datetime
    conversation: str | None = None
    sampling: Sampling = field(default_factory=Sampling)
    stream: bool = False
    intake: Literal["", "http", "mqtt"] = ""
    trace_parent: TraceParent | None = None
    timeout_seconds: float | None = None
    floor: DataClass = DataClass.PUBLIC


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole answer, and how it came about.

    Args:
        better_until: until when a better answer to the same prompt may follow; None: none does.
    """

    text: str
    finish_reason: FinishReason
    input_tokens: int
    output_tokens: int
    receipt: Receipt
    better_until: datetime | None = None


class Answerer(Protocol):
    """What an intake needs of the pipeline."""

    def answer(self, prompt: Prompt) -> AsyncIterator[Delta | Answer]:
        """Answers a prompt: any number of Deltas, whose texts joined are the Answer's text, then one Answer.

        Closing the iterator early (`aclose`) cancels the work.

        Raises:
            contract.errors.SeawallError: the prompt is refused, with its reason.
        """
        ...


__all__ = [
    "Answer",
    "Answerer",
    "Classification",
    "Decision",
    "Delta",
    "FinishReason",
    "Message",
    "Prompt",
    "Receipt",
    "Role",
    "Sampling",
]
