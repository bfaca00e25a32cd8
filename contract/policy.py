"""What may be done with a prompt: Cedar policies, checked against a schema and read once, asked often.

The rules of a decision, all of them failing closed:
    1. answering locally is always allowed, and is no action here;
    2. what no policy permits is denied, and a `forbid` beats every `permit` (Cedar's own semantics);
    3. a policy that fails while it is evaluated denies the whole action, whatever the other policies say;
    4. a prompt leaves only where both the hub may be passed and the provider may be asked;
    5. it is asked first for the prompt as it is, and for the redacted one only where no way is open to that.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

import cedarpy

from contract.classification import Classification
from contract.decision import DEFAULT_DENY, HUB_UNKNOWN, POLICY_FAILED, Decision, Route, Verdict
from contract.policy_text import SCHEMA, check_policies
from contract.surroundings import TIERS, Hub, Surroundings

_MOST_REMEMBERED = 1024
"""Decisions. A site's prompts differ in few facts, so that nearly all were decided before; then they are all forgotten."""

_AT_HOME = (("cache", "Cache", "answers"), ("record", "Receipts", "receipts"), ("learn", "Usage", "counts"))

_NOWHERE = Surroundings()

_Ask = tuple[str, str, str]
"""An action, its resource's type and id."""


class Policy:
    """A policy in force.

    Args:
        text: Cedar policies; each must carry an `@id` of its own.

    Raises:
        InvalidRequest: POLICY_INVALID, with Cedar's own words of what is wrong.
    """

    def __init__(self, text: str) -> None:
        self._names = check_policies(text)
        self._policies = cedarpy.PolicySet.from_str(text)
        self._known: tuple[Hub | None, cedarpy.Entities] = (None, _entities(None))
        self._decided: dict[tuple[object, ...], Decision] = {}
        self.digest = "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    def decide(self, agent_id: str, classification: Classification, surroundings: Surroundings = _NOWHERE) -> Decision:
        """Decides what may be done with a prompt.

        Args:
            agent_id: who asks.
            classification: what is known of the prompt's data.
            surroundings: what is known around it; without a hub, nothing may leave.
        """
        key = (agent_id, classification.data_class, classification.kinds, surroundings)
        decision = self._decided.get(key)
        if decision is None:
            decision = self._decide(agent_id, classification, surroundings)
            if len(self._decided) >= _MOST_REMEMBERED:
                self._decided.clear()
            self._decided[key] = decision
        return decision

    def leave(self, agent_id: str, classification: Classification, surroundings: Surroundings, redacted: bool) -> Decision:
        """Decides where a prompt that is to leave may go, and nothing else.

        Args:
            agent_id: who asks.
            classification: what is known of the prompt's data.
            surroundings: with the hub.
            redacted: whether it is.
        """
        verdicts = self._verdicts(_ways(surroundings.hub), agent_id, classification, surroundings, redacted)
        return Decision(False, routes=_routes(verdicts, surroundings.hub), policy_ids=_ids(verdicts, surroundings))

    def explain(self, agent_id: str, classification: Classification, surroundings: Surroundings = _NOWHERE) -> tuple[Verdict, ...]:
        """Returns what is decided of each action: at home, then on the way out, as it is and redacted. See `decide`."""
        ways = _ways(surroundings.hub)
        plain = self._verdicts((*_AT_HOME, *ways), agent_id, classification, surroundings, False)
        return (*plain, *self._verdicts(ways, agent_id, classification, surroundings, True))

    def _decide(self, agent_id: str, classification: Classification, surroundings: Surroundings) -> Decision:
        ways = _ways(surroundings.hub)
        verdicts = self._verdicts((*_AT_HOME, *ways), agent_id, classification, surroundings, False)
        may_cache, may_record, may_learn = (verdict.allowed for verdict in verdicts[: len(_AT_HOME)])
        routes = _routes(verdicts, surroundings.hub)
        if surroundings.can_redact and not routes:
            redacted = self._verdicts(ways, agent_id, classification, surroundings, True)
            verdicts, routes = [*verdicts, *redacted], _routes(redacted, surroundings.hub)
        return Decision(may_cache, may_record, may_learn, routes, _ids(verdicts, surroundings))

    def _verdicts(
        self, asked: Sequence[_Ask], agent_id: str, classification: Classification, surroundings: Surroundings, redacted: bool
    ) -> list[Verdict]:
        context = json.dumps(_facts(classification, surroundings, redacted))
        requests = [_request(agent_id, ask, context) for ask in asked]
        try:
            results = cedarpy.is_authorized_batch(requests, self._policies, self._entities_of(surroundings.hub))
        except ValueError as error:  # a fact that Cedar cannot hold
            return [Verdict(action, name, redacted, False, (POLICY_FAILED,), (str(error),)) for action, _, name in asked]
        return [self._verdict(ask, result, redacted) for ask, result in zip(asked, results, strict=True)]

    def _verdict(self, ask: _Ask, result: cedarpy.AuthzResult, redacted: bool) -> Verdict:
        action, kind, name = ask
        resource = name if kind in ("Hub", "Provider") else ""
        if result.diagnostics.errors:
            return Verdict(action, resource, redacted, False, (POLICY_FAILED,), tuple(map(self._named, result.diagnostics.errors)))
        spoke = tuple(result.diagnostics.id_annotations_by_reason.values()) or (DEFAULT_DENY,)
        return Verdict(action, resource, redacted, bool(result.allowed), spoke)

    def _named(self, error: str) -> str:
        """Cedar's words, with the policy's own id for the name that Cedar gave it."""
        for own, name in self._names.items():
            error = error.replace(f"`{own}`", f"`{name}`")
        return error

    def _entities_of(self, hub: Hub | None) -> cedarpy.Entities:
        if self._known[0] != hub:
            self._known = (hub, _entities(hub))
        return self._known[1]


def _ways(hub: Hub | None) -> tuple[_Ask, ...]:
    if hub is None:
        return ()
    return (("pass", "Hub", hub.name), *(("escalate", "Provider", provider.name) for provider in hub.providers))


def _facts(classification: Classification, surroundings: Surroundings, redacted: bool) -> dict[str, Any]:
    known = {"site": surroundings.site or None, "region": surroundings.region or None}
    optional = {"latency_milliseconds": surroundings.latency_milliseconds, "budget_tokens": surroundings.budget_tokens}
    return {
        "class": str(classification.data_class),
        "kinds": list(classification.kinds),
        "redacted": redacted,
        "intake": surroundings.intake,
        **{name: value for name, value in (known | optional).items() if value is not None},
    }


def _entities(hub: Hub | None) -> cedarpy.Entities:
    if hub is None:
        return cedarpy.Entities.from_json_str("[]")
    found = [_entity("Hub", hub.name, region=hub.region or None, operator=hub.operator or None)]
    for provider in hub.providers:
        tier = {"__entity": {"type": "Tier", "id": provider.tier}} if provider.tier in TIERS else None
        region, operator, days = provider.region or None, provider.operator or None, provider.retention_days
        found.append(_entity("Provider", provider.name, tier=tier, region=region, operator=operator, retention_days=days))
    return cedarpy.Entities.from_json_str(json.dumps(found))


def _entity(kind: str, name: str, **attributes: Any) -> dict[str, Any]:
    known = {attribute: value for attribute, value in attributes.items() if value is not None}
    return {"uid": {"type": kind, "id": name}, "attrs": known, "parents": []}


def _request(agent_id: str, ask: _Ask, context: str) -> dict[str, Any]:
    action, kind, name = ask
    return {
        "principal": {"type": "Agent", "id": agent_id},
        "action": {"type": "Action", "id": action},
        "resource": {"type": kind, "id": name},
        "context": context,
    }


def _routes(verdicts: Iterable[Verdict], hub: Hub | None) -> tuple[Route, ...]:
    allowed = {(verdict.action, verdict.resource): verdict.redacted for verdict in verdicts if verdict.allowed}
    if hub is None or ("pass", hub.name) not in allowed:
        return ()
    asked = ((provider, allowed.get(("escalate", provider.name))) for provider in hub.providers)
    return tuple(Route(provider, redacted) for provider, redacted in asked if redacted is not None)


def _ids(verdicts: Iterable[Verdict], surroundings: Surroundings) -> tuple[str, ...]:
    unknown = (HUB_UNKNOWN,) if surroundings.hub is None else ()
    return tuple(sorted({*unknown, *(name for verdict in verdicts for name in verdict.policy_ids)}))


__all__ = ["SCHEMA", "TIERS", "Decision", "Policy", "Route", "Verdict"]
