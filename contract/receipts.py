"""The receipt that every answer carries: what was done, why, and what left the site. Never prompt text."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from contract.leaves import leaf_text

Route = Literal["local", "cache", "escalated"]

CACHED, SIMILAR = "cached", "similar"
"""In the reasons of an answer from the cache: it was to the same question, or to one that means the same."""


def is_similar(route: str, reasons: Sequence[str]) -> bool:
    """Says whether an answer was to another question that means the same.

    The `@id`s of policies come before these words and may be the same: the last of them tells.
    """
    return route == "cache" and next((reason for reason in reversed(reasons) if reason in (CACHED, SIMILAR)), CACHED) == SIMILAR


@dataclass(frozen=True, slots=True)
class Departure:
    """What left the site, and where to. Counts only.

    Args:
        messages: how many messages were sent.
        characters: how many characters they held.
        provider: the provider's name at the hub; empty if the hub was reached and no provider answered.
        tier: `private` or `public`; empty as above.
        region: where the provider runs; empty as above.
        redacted: how many values a placeholder stood for; None: they were sent as they are.
    """

    messages: int
    characters: int
    provider: str = ""
    tier: str = ""
    region: str = ""
    redacted: int | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """How an answer came about.

    Args:
        receipt_id: a UUID.
        prompt_id: the client's id of the prompt.
        create_time: RFC 3339, UTC.
        route: where the text came from.
        reasons: `@id`s of the policies that decided, and words such as `confident`, `not_confident`, `hub_unavailable`.
        data_class: the class that the prompt was given.
        data_kinds: the kinds of personal data and secrets found, sorted; never the values.
        confidence: probability-like figure of the local answer, 0 to 1; None where none was judged.
        provisional: a better answer was wanted and could not be had.
        model: name and version of what answered.
        model_digest: `sha256:…` of the local bundle; empty for a provider's model.
        departure: what left the site; None: nothing did.
        milliseconds: from the prompt's arrival to the answer's end.
        input_tokens: as whatever answered counts them.
        output_tokens: the same.
        intake: by which way the prompt came.
    """

    receipt_id: str
    prompt_id: str
    create_time: str
    route: Route
    reasons: tuple[str, ...]
    data_class: str
    data_kinds: tuple[str, ...]
    confidence: float | None
    provisional: bool
    model: str
    model_digest: str
    departure: Departure | None
    milliseconds: float
    input_tokens: int = 0
    output_tokens: int = 0
    intake: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Returns the receipt as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Receipt":
        """Returns the receipt of plain JSON values; those of other versions may have more, or lack what has a default."""
        known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        departure = known["departure"]
        known |= {"reasons": tuple(known["reasons"]), "data_kinds": tuple(known["data_kinds"])}
        return cls(**known | {"departure": None if departure is None else Departure(**departure)})

    def leaf(self, client: str) -> str:
        """Returns the text that stands in the agent's log: who asked, and the receipt, in the one form that can be hashed."""
        return leaf_text({**self.to_dict(), "client": client})
