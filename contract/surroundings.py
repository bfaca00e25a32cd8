"""What surrounds a prompt, and a policy may ask for: the site, the hub, and the providers behind it. Holds no text."""

from dataclasses import dataclass

TIERS = ("private", "public")
"""Provider tiers, the nearer first."""


def stepped(number: int) -> int:
    """Rounds a number down to a power of two; below 1 to 0.

    What changes with each prompt would have each decided on anew. So it changes in steps, and never says more than there is.
    """
    return 1 << number.bit_length() - 1 if number > 0 else 0


@dataclass(frozen=True, slots=True)
class Provider:
    """One place that answers prompts, behind a hub.

    Args:
        name: as the hub's configuration has it.
        tier: of `TIERS`.
        region: where it runs; empty: not known.
        operator: who runs it; empty: not known.
        retention_days: for so long it keeps what it is sent; None: not known.
    """

    name: str
    tier: str
    region: str = ""
    operator: str = ""
    retention_days: int | None = None


@dataclass(frozen=True, slots=True)
class Hub:
    """The hub that a prompt would pass.

    Args:
        name: its trust domain.
        region: where it runs; empty: not known.
        operator: who runs it; empty: not known.
        providers: behind it, in the order in which they are tried.
    """

    name: str
    region: str = ""
    operator: str = ""
    providers: tuple[Provider, ...] = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """All that is known around a prompt. What is not known is given to no policy.

    Args:
        site: its name; empty: not known.
        region: of the site; empty: not known.
        intake: by which way the prompt came: `http`, `mqtt`, or empty.
        hub: None: not known, so that nothing may leave.
        can_redact: whether what may leave only redacted can be.
        latency_milliseconds: that the answer may take, `stepped`; None: nobody has said.
        budget_tokens: that are left to spend, `stepped`; None: not known.
    """

    site: str = ""
    region: str = ""
    intake: str = ""
    hub: Hub | None = None
    can_redact: bool = False
    latency_milliseconds: int | None = None
    budget_tokens: int | None = None
