"""What the hub wants of this agent: less than the agent's own file and policy allow, never more.

Two guards, each enough by itself: a desired state that asks for more is refused whole, and what is applied is met with the agent's own
limits at every prompt, whatever it says.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from google.protobuf.unknown_fields import UnknownFieldSet

from agent.prompts import Sampling
from contract.classification import BY_NAME, Classification, DataClass
from contract.decision import Decision, Route
from contract.errors import InvalidRequest, Reason
from seawall.hub.v1.group_pb2 import Configuration

_LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class OwnLimits:
    """What the agent's own file allows.

    Args:
        floor: the least class of any prompt.
        bar: the least confidence of an answer that stays.
        most_tokens: of an answer.
        usual_tokens: of an answer whose prompt does not say.
    """

    floor: DataClass = DataClass.PUBLIC
    bar: float = 1.0
    most_tokens: int = 2048
    usual_tokens: int = 512


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What is narrowed. By default nothing is.

    Args:
        escalation_disabled: no prompt leaves.
        cache_disabled: no answer is kept or given again.
        floor: the least class of any prompt.
        bar: the most confidence that may be asked of an answer that stays.
        most_tokens: of an answer; None: as many as the agent allows.
        usual_tokens: of an answer whose prompt does not say, where `most_tokens` is set.
        log_level: None: the agent's own.
    """

    escalation_disabled: bool = False
    cache_disabled: bool = False
    floor: DataClass = DataClass.PUBLIC
    bar: float = 1.0
    most_tokens: int | None = None
    usual_tokens: int = 0
    log_level: str | None = None

    def decide(self, classification: Classification, decide: Callable[[Classification], Decision]) -> tuple[Classification, Decision]:
        """Returns a prompt's class under this narrowing, and what may be done with it.

        A policy may allow more to a higher class, however odd that is: what the lower one is denied stays denied.

        Args:
            classification: what the agent's own classifier found.
            decide: the agent's own policy.
        """
        own = decide(classification)
        raised, decision = classification, own
        if classification.data_class < self.floor:
            raised = replace(classification, data_class=self.floor, reasons=(*classification.reasons, "hub-floor"))
            decision = both(own, decide(raised))
        allowed = replace(
            decision,
            may_cache=decision.may_cache and not self.cache_disabled,
            routes=() if self.escalation_disabled else decision.routes,
        )
        if allowed != decision:
            allowed = replace(allowed, policy_ids=(*allowed.policy_ids, "hub-narrowed"))
        return raised, allowed

    def sampling(self, wanted: Sampling) -> Sampling:
        """Returns how tokens are chosen: as wanted, but for the number of them."""
        if self.most_tokens is None:
            return wanted
        return replace(wanted, max_tokens=min(wanted.max_tokens or self.usual_tokens, self.most_tokens))

    def judged(self, wanted: Sampling, held_tokens: int) -> Sampling:
        """Returns how tokens are chosen of an answer that is still to be judged, and cut after that.

        Fewer tokens would be judged otherwise, and an answer that was trusted before could leave the site for want of them.

        Args:
            wanted: by the client.
            held_tokens: how many are judged.
        """
        narrowed = self.sampling(wanted)
        if self.most_tokens is None or narrowed.max_tokens is None:
            return narrowed
        return replace(narrowed, max_tokens=max(narrowed.max_tokens, min(wanted.max_tokens or self.usual_tokens, held_tokens)))


def narrow(own: OwnLimits, configuration: Configuration) -> Narrowing:
    """Returns the narrowing that a configuration asks for.

    Args:
        own: what the agent's own file allows.
        configuration: what is wanted.

    Raises:
        InvalidRequest: CONFIGURATION_WIDENS, it asks for more; FIELD_INVALID; FIELD_UNKNOWN, this version does not know what it asks for.
    """
    _check_well_formed(configuration)
    if configuration.HasField("floor") and BY_NAME[configuration.floor] < own.floor:
        raise _widens(f"floor {configuration.floor} is below this agent's own, {own.floor}")
    if configuration.HasField("trust_bar") and configuration.trust_bar > own.bar:
        raise _widens(f"trust_bar {configuration.trust_bar} is above this agent's own, {own.bar}")
    if configuration.HasField("max_output_tokens") and configuration.max_output_tokens > own.most_tokens:
        raise _widens(f"max_output_tokens {configuration.max_output_tokens} is above this agent's own limit, {own.most_tokens}")
    return met(own, configuration)


def met(own: OwnLimits, configuration: Configuration) -> Narrowing:
    """Returns what both allow: for one that was applied before, under a file that may have changed since."""
    most = min(configuration.max_output_tokens, own.most_tokens) if configuration.HasField("max_output_tokens") else None
    return Narrowing(
        escalation_disabled=configuration.escalation_disabled,
        cache_disabled=configuration.cache_disabled,
        floor=max(own.floor, BY_NAME[configuration.floor]) if configuration.HasField("floor") else own.floor,
        bar=min(own.bar, configuration.trust_bar) if configuration.HasField("trust_bar") else own.bar,
        most_tokens=most,
        usual_tokens=own.usual_tokens,
        log_level=configuration.log_level if configuration.HasField("log_level") else None,
    )


def _check_well_formed(configuration: Configuration) -> None:
    if len(UnknownFieldSet(configuration)):
        raise InvalidRequest(Reason.FIELD_UNKNOWN, "This version of seawall-agent does not know all that is wanted: install a newer one.")
    if configuration.HasField("floor") and configuration.floor not in BY_NAME:
        raise _invalid(f"floor is one of {', '.join(BY_NAME)}")
    if configuration.HasField("trust_bar") and (math.isnan(configuration.trust_bar) or not 0 <= configuration.trust_bar <= 1):
        raise _invalid("trust_bar is from 0 to 1")
    if configuration.HasField("max_output_tokens") and configuration.max_output_tokens < 1:
        raise _invalid("max_output_tokens is 1 or more")
    if configuration.HasField("log_level") and configuration.log_level not in _LOG_LEVELS:
        raise _invalid(f"log_level is one of {', '.join(_LOG_LEVELS)}")


def both(one: Decision, other: Decision) -> Decision:
    """Returns what both allow. Where one lets the prompt go as it is, and the other redacted, it may go redacted."""
    theirs = {route.provider: route for route in other.routes}
    common = ((route, theirs[route.provider]) for route in one.routes if route.provider in theirs)
    return Decision(
        may_cache=one.may_cache and other.may_cache,
        routes=tuple(Route(mine.provider, mine.redacted or their.redacted) for mine, their in common),
        policy_ids=tuple(sorted({*one.policy_ids, *other.policy_ids})),
    )


def redacted_only(decision: Decision) -> Decision:
    """Returns what is left of a decision for a prompt that may leave only redacted."""
    return replace(decision, routes=tuple(replace(route, redacted=True) for route in decision.routes))


def _widens(why: str) -> InvalidRequest:
    return InvalidRequest(Reason.CONFIGURATION_WIDENS, f"The configuration may only narrow what this agent allows: {why}.")


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest(Reason.FIELD_INVALID, f"The configuration cannot be applied: {why}.")
