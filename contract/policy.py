"""What may be done with a prompt: Cedar policies, checked against a schema and read once, asked often.

The rules of a decision, all of them failing closed:
    1. answering locally is always allowed, and is no action here;
    2. what no policy permits is denied, and a `forbid` beats every `permit` (Cedar's own semantics);
    3. a policy that fails while it is evaluated denies the whole action, whatever the other policies say.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import cedarpy

from contract.classification import Classification
from contract.errors import InvalidRequest, Reason

TIERS = ("private", "public")
"""Provider tiers, the nearer first."""

SCHEMA = """
entity Agent;
entity Cache;
entity Tier enum ["private", "public"];

type Data = {
    "class": String,      // public, internal, confidential or restricted
    kinds: Set<String>,   // such as CREDIT_CARD; empty if nothing was found
};

action cache appliesTo { principal: Agent, resource: Cache, context: Data };
action escalate appliesTo { principal: Agent, resource: Tier, context: Data };
"""
"""What a policy may speak of."""

_SCHEMA = cedarpy.Schema.from_str(SCHEMA)

# Cedar's parser recurses on the C stack, and ends the process where that overflows: from about 800 brackets or 20,000 operators on.
_LONGEST_CHARACTERS = 20_000
_DEEPEST_NESTING = 100


@dataclass(frozen=True, slots=True)
class Decision:
    """What the policy allows for one prompt. Answering locally is always allowed.

    Args:
        may_cache: the answer may be kept and given again.
        tiers: the provider tiers that it may be sent to, by way of the hub: of `private`, `public`.
        policy_ids: the `@id`s of the policies that decided, sorted; `default-deny` where none spoke, `policy-failed` where one broke.
    """

    may_cache: bool
    tiers: tuple[str, ...]
    policy_ids: tuple[str, ...]

    @property
    def may_escalate(self) -> bool:
        """Whether it may leave the site at all."""
        return bool(self.tiers)


class Policy:
    """A policy in force.

    Args:
        text: Cedar policies; each must carry an `@id` of its own.

    Raises:
        InvalidRequest: POLICY_INVALID, with Cedar's own words of what is wrong.
    """

    def __init__(self, text: str) -> None:
        _validate(text)
        self._policies = cedarpy.PolicySet.from_str(text)
        self._entities = cedarpy.Entities.from_json_str("[]")
        self.digest = "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    def decide(self, agent_id: str, classification: Classification) -> Decision:
        """Decides what may be done with a prompt.

        Args:
            agent_id: who asks.
            classification: what is known of the prompt's data.
        """
        context = json.dumps({"class": str(classification.data_class), "kinds": list(classification.kinds)})
        cache, *tiers = cedarpy.is_authorized_batch(
            [
                _request(agent_id, "cache", "Cache", "answers", context),
                *(_request(agent_id, "escalate", "Tier", tier, context) for tier in TIERS),
            ],
            self._policies,
            self._entities,
            _SCHEMA,
        )
        return Decision(
            may_cache=_allows(cache),
            tiers=tuple(tier for tier, result in zip(TIERS, tiers, strict=True) if _allows(result)),
            policy_ids=tuple(sorted({name for result in (cache, *tiers) for name in _ids(result)})),
        )


def _request(agent_id: str, action: str, resource_type: str, resource_id: str, context: str) -> dict[str, Any]:
    return {
        "principal": {"type": "Agent", "id": agent_id},
        "action": {"type": "Action", "id": action},
        "resource": {"type": resource_type, "id": resource_id},
        "context": context,
    }


def _allows(result: cedarpy.AuthzResult) -> bool:
    return bool(result.allowed) and not result.diagnostics.errors


def _ids(result: cedarpy.AuthzResult) -> list[str]:
    if result.diagnostics.errors:
        return ["policy-failed"]
    return list(result.diagnostics.id_annotations_by_reason.values()) or ["default-deny"]


def _validate(text: str) -> None:
    if len(text) > _LONGEST_CHARACTERS:
        raise _invalid(f"it has {len(text)} characters, at most {_LONGEST_CHARACTERS} are read")
    if max(accumulate((char in "([{") - (char in ")]}") for char in text), default=0) > _DEEPEST_NESTING:
        raise _invalid(f"its brackets are nested deeper than {_DEEPEST_NESTING}")
    try:
        policies: Mapping[str, Any] = json.loads(cedarpy.policies_to_json_str(text))
    except (ValueError, RecursionError) as error:
        raise _invalid(str(error)) from error
    if policies.get("templates"):
        raise _invalid("templates are not used here")
    names = [policy.get("annotations", {}).get("id") for policy in policies["staticPolicies"].values()]
    if not all(names):
        raise _invalid("every policy needs an @id, so that a receipt can name it")
    if len(set(names)) < len(names):
        raise _invalid("two policies share an @id")
    result = cedarpy.validate_policies(text, _SCHEMA)
    if not result.validation_passed:
        raise _invalid("; ".join(str(error) for error in result.errors))


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest(Reason.POLICY_INVALID, f"The policy is refused, the one in force stays: {why[:500]}.")
