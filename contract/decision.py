"""What a policy allows for one prompt: frozen values."""

from dataclasses import dataclass

from contract.surroundings import Provider

DEFAULT_DENY = "default-deny"
"""Stands among the ids where no policy spoke."""

POLICY_FAILED = "policy-failed"
"""Stands among the ids where a policy broke while it was evaluated."""

HUB_UNKNOWN = "hub-unknown"
"""Stands among the ids where nobody has said yet which hub and providers there are, so that nothing may leave."""


@dataclass(frozen=True, slots=True)
class Route:
    """A way out: by the hub, to one provider.

    Args:
        provider: that may be asked.
        redacted: whether the prompt may go there only redacted.
    """

    provider: Provider
    redacted: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What the policy allows for one prompt. Answering locally is always allowed.

    Args:
        may_cache: the answer may be kept and given again.
        routes: the ways out, in the hub's order: those that are open to the prompt as it is; where there are none, those that are open to
            it redacted.
        policy_ids: the `@id`s of the policies that decided, sorted, and the words above.
    """

    may_cache: bool
    routes: tuple[Route, ...] = ()
    policy_ids: tuple[str, ...] = ()

    @property
    def may_escalate(self) -> bool:
        """Whether it may leave the site at all."""
        return bool(self.routes)

    @property
    def must_redact(self) -> bool:
        """Whether it may leave, but not as it is."""
        return any(route.redacted for route in self.routes)

    @property
    def is_hub_unknown(self) -> bool:
        """Whether it stays only because nobody knows yet where it could go."""
        return HUB_UNKNOWN in self.policy_ids


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided of one action, and why.

    Args:
        action: such as `escalate`.
        resource: the id of the hub or provider; empty: the action has but one.
        redacted: whether it was asked for the redacted prompt.
        allowed: whether it may be done.
        policy_ids: as in Decision.
        errors: Cedar's words for why a policy failed.
    """

    action: str
    resource: str
    redacted: bool
    allowed: bool
    policy_ids: tuple[str, ...]
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sharing:
    """What the policy allows of the receipt of a prompt. It is asked for when there is one.

    Args:
        record: whether the receipt may leave the site in clear.
        learn: whether the prompt may be counted in what sites learn together.
    """

    record: Verdict
    learn: Verdict

    @property
    def policy_ids(self) -> tuple[str, ...]:
        """The `@id`s of the policies that let it be shared, sorted; where it stays, there is nothing to account for."""
        return tuple(sorted({name for verdict in (self.record, self.learn) if verdict.allowed for name in verdict.policy_ids}))

    def both(self, other: "Sharing") -> "Sharing":
        """Returns what both allow."""
        return Sharing(_denying(self.record, other.record), _denying(self.learn, other.learn))


def _denying(one: Verdict, other: Verdict) -> Verdict:
    return other if one.allowed else one
