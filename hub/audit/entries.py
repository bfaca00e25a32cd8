"""What is told of an escalation in the audit log: in clear, and never a word of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

from contract.leaves import leaf_text
from contract.tree_heads import written
from hub.config import ProviderSettings
from hub.escalation.prompts import Completion, Escalation, Finish

ANSWERED = "ANSWERED"
CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class Entry:
    """One escalation.

    Args:
        time: when it ended, UTC.
        data_class: as the agent told, as are `data_kinds`, `policy_ids` and `redacted`.
        provider: that answered; empty: none did. So are `tier`, `region` and `model`.
        cost_micros: in millionths of `currency`; None: not known.
        outcome: ANSWERED, CANCELLED, or the reason of the error.
    """

    time: datetime
    agent: str
    request_id: str
    data_class: str
    data_kinds: tuple[str, ...]
    policy_ids: tuple[str, ...]
    redacted: bool
    provider: str
    tier: str
    region: str
    model: str
    input_tokens: int
    output_tokens: int
    cost_micros: int | None
    currency: str
    outcome: str

    def leaf(self) -> str:
        """Returns the text that stands in the log."""
        return leaf_text({**asdict(self), "time": written(self.time)})


def entry_of(
    escalation: Escalation, completion: Completion | None, outcome: str, now: datetime, providers: Mapping[str, ProviderSettings]
) -> Entry:
    """Returns what is told of an escalation.

    Args:
        escalation: what was asked.
        completion: what answered; None: nothing did.
        outcome: how it ended.
        now: the time, in UTC.
        providers: by name, for their prices.
    """
    settings = None if completion is None else providers.get(completion.provider)
    cost = None if completion is None or settings is None else cost_micros(settings, completion.finish)
    return Entry(
        time=now,
        agent=escalation.agent_id,
        request_id=escalation.request_id,
        data_class=str(escalation.data_class),
        data_kinds=escalation.data_kinds,
        policy_ids=escalation.policy_ids,
        redacted=escalation.redacted,
        provider=completion.provider if completion is not None else "",
        tier=completion.tier if completion is not None else "",
        region=completion.region if completion is not None else "",
        model=completion.finish.model if completion is not None else "",
        input_tokens=completion.finish.input_tokens if completion is not None else 0,
        output_tokens=completion.finish.output_tokens if completion is not None else 0,
        cost_micros=cost,
        currency=settings.currency if settings is not None and cost is not None else "",
        outcome=outcome,
    )


def cost_micros(settings: ProviderSettings, finish: Finish) -> int | None:
    """Returns what an answer costs, in millionths; None: the provider has no price, or does not say what it took."""
    prices = (settings.input_price_per_million_tokens, settings.output_price_per_million_tokens)
    if prices == (None, None) or not (finish.input_tokens or finish.output_tokens):
        return None
    return round(finish.input_tokens * (prices[0] or 0) + finish.output_tokens * (prices[1] or 0))
