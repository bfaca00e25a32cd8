"""What goes through: frozen values."""

from dataclasses import dataclass
from typing import Literal

from contract.classification import DataClass
from contract.surroundings import Provider

Tier = Literal["private", "public"]
FinishReason = Literal["stop", "length", "content_filter"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of the conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Escalation:
    """A prompt, and how far it may go.

    Args:
        request_id: a UUID.
        agent_id: whose it is, from the certificate.
        turns: oldest first, the last one the user's.
        allowed: where it may go.
        data_class: what the agent thinks of it.
        max_output_tokens: of the answer.
        temperature: 0 to 2.
        redacted: whether what was found in it was taken out.
        data_kinds: that were found.
        policy_ids: that decided on the device.
        intake: by which way it came, as the agent told its own policy, as are the next two.
        latency_milliseconds: that the answer may take; None: nobody has said.
        budget_tokens: that the agent took to be left; None: it did not know.
    """

    request_id: str
    agent_id: str
    turns: tuple[Turn, ...]
    allowed: frozenset[Provider]
    data_class: DataClass
    max_output_tokens: int
    temperature: float
    redacted: bool = False
    data_kinds: tuple[str, ...] = ()
    policy_ids: tuple[str, ...] = ()
    intake: str = ""
    latency_milliseconds: int | None = None
    budget_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer; never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of a provider's answer. Tokens as the provider counts them; 0: it does not say."""

    model: str
    input_tokens: int
    output_tokens: int
    finish_reason: FinishReason


@dataclass(frozen=True, slots=True)
class Completion:
    """The end of an escalation: what answered, and what it took.

    Args:
        budget_tokens: that are left of the nearest quota; None: there is none, or it is not known.
    """

    provider: str
    tier: Tier
    region: str
    finish: Finish
    budget_tokens: int | None = None
