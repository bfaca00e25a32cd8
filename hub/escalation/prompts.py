"""What goes through: frozen values."""

from dataclasses import dataclass
from typing import Literal

from contract.classification import DataClass

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
        allowed_tiers: where it may go.
        data_class: what the agent thinks of it.
        max_output_tokens: of the answer.
        temperature: 0 to 2.
        data_kinds: of personal data and secrets that the agent found.
        policy_ids: of the policies that let it pass there.
        redacted: whether the agent took anything out of it.
    """

    request_id: str
    agent_id: str
    turns: tuple[Turn, ...]
    allowed_tiers: frozenset[Tier]
    data_class: DataClass
    max_output_tokens: int
    temperature: float
    data_kinds: tuple[str, ...] = ()
    policy_ids: tuple[str, ...] = ()
    redacted: bool = False


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
    """The end of an escalation: what answered, and what it took."""

    provider: str
    tier: Tier
    region: str
    finish: Finish
