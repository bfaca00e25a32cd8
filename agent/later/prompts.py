"""A prompt that has its provisional answer and is to be asked again, as it lies in the outbox, sealed."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from agent.prompts import Answer, Message, Prompt, Sampling
from contract.classification import DataClass

FOLLOWED_UP = "followed-up"
"""Stands in the receipt of a better answer that came later, and of what left the site in a vain attempt to get one."""

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class LatePrompt:
    """What is asked again.

    Args:
        prompt: its messages are the whole conversation as it was; not streamed.
        receipt_id: of the provisional answer.
        data_class: that it was given; it has at least that.
        must_redact: whether it could leave only redacted; it still can only so.
    """

    prompt: Prompt
    receipt_id: str
    data_class: DataClass
    must_redact: bool

    def to_bytes(self) -> bytes:
        """Returns what lies in the outbox."""
        prompt = self.prompt
        content = {
            "format": _FORMAT,
            "prompt_id": prompt.prompt_id,
            "client": prompt.client,
            "conversation": prompt.conversation,
            "messages": [asdict(message) for message in prompt.messages],
            "received_time": prompt.received_time.timestamp(),
            "sampling": asdict(prompt.sampling),
            "intake": prompt.intake,
            "timeout_seconds": prompt.timeout_seconds,
            "receipt_id": self.receipt_id,
            "data_class": int(self.data_class),
            "must_redact": self.must_redact,
        }
        return json.dumps(content).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> "LatePrompt | None":
        """Reads it; None: another version has written it, and it is not understood."""
        try:
            return _read(json.loads(content))
        except (ValueError, KeyError, TypeError):
            return None


class LateAnswerer(Protocol):
    """What is needed of the pipeline."""

    async def reach(self) -> None:
        """Makes sure that the hub can be asked.

        Raises:
            EscalationFailed: it cannot.
        """
        ...

    async def better(self, late: LatePrompt) -> Answer:
        """Asks the hub, if that is still allowed, and records what came of it.

        Raises:
            EscalationFailed: there is no better answer.
        """
        ...


def _read(content: Any) -> LatePrompt:
    if content["format"] != _FORMAT:
        raise ValueError(f"format {content['format']}")
    sampling = content["sampling"]
    prompt = Prompt(
        prompt_id=content["prompt_id"],
        client=content["client"],
        messages=tuple(Message(**message) for message in content["messages"]),
        received_time=datetime.fromtimestamp(content["received_time"], UTC),
        conversation=content["conversation"],
        sampling=Sampling(**{**sampling, "stop": tuple(sampling["stop"])}),
        intake=content["intake"],
        timeout_seconds=content["timeout_seconds"],
    )
    return LatePrompt(prompt, content["receipt_id"], DataClass(content["data_class"]), content["must_redact"])
