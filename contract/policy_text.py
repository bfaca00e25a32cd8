"""What a policy may speak of, and whether a text is one."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import cedarpy

from contract.errors import InvalidRequest, Reason

SCHEMA = """
entity Agent;
entity Cache;
entity Receipts;
entity Usage;
entity Tier enum ["private", "public"];

// Its id is the hub's trust domain.
entity Hub = { region: String, operator: String };

// Its id is the provider's name in the hub's configuration.
entity Provider = { tier: Tier, region: String, operator: String, retention_days: Long };

type Facts = {
    "class": String,              // public, internal, confidential or restricted
    kinds: Set<String>,           // such as CREDIT_CARD; empty if nothing was found
    redacted: Bool,               // whether those are taken out before it leaves
    site: String,
    region: String,               // of the site
    intake: String,               // http, mqtt, or empty
    latency_milliseconds?: Long,  // that the answer may take
    budget_tokens?: Long,         // that are left
};

action cache appliesTo { principal: Agent, resource: Cache, context: Facts };
action record appliesTo { principal: Agent, resource: Receipts, context: Facts };
action learn appliesTo { principal: Agent, resource: Usage, context: Facts };
action pass appliesTo { principal: Agent, resource: Hub, context: Facts };
action escalate appliesTo { principal: Agent, resource: Provider, context: Facts };
"""
"""The five actions and their facts. A region, site, operator or retention that is not known is left out, though the schema has it: a policy
that asks for it fails, and what fails denies."""

_SCHEMA = cedarpy.Schema.from_str(SCHEMA)

FACTS = ("class", "kinds", "redacted", "site", "region", "intake", "latency_milliseconds", "budget_tokens")
"""The names in `Facts`."""

_CONTEXT = {"Var": "context"}

# Cedar's parser recurses on the C stack, and ends the process where that overflows: from about 800 brackets or 20,000 operators on.
_LONGEST_CHARACTERS = 20_000
_DEEPEST_NESTING = 100


@dataclass(frozen=True, slots=True)
class Checked:
    """What is known of a text that holds policies.

    Args:
        names: the `@id`s by the names that Cedar gives the policies.
        facts: that they ask for; what they do not ask for cannot change what they decide.
    """

    names: Mapping[str, str]
    facts: frozenset[str]


def check_policies(text: str) -> Checked:
    """Checks that a text holds policies, that the schema knows all that they speak of, and that each has an `@id` of its own.

    Raises:
        InvalidRequest: POLICY_INVALID, with Cedar's own words of what is wrong.
    """
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
    names = {own: policy.get("annotations", {}).get("id") for own, policy in policies["staticPolicies"].items()}
    if not all(names.values()):
        raise _invalid("every policy needs an @id, so that a receipt can name it")
    if len(set(names.values())) < len(names):
        raise _invalid("two policies share an @id")
    result = cedarpy.validate_policies(text, _SCHEMA)
    if not result.validation_passed:
        raise _invalid("; ".join(str(error) for error in result.errors))
    return Checked(names, frozenset(_facts_read(policies)))


def _facts_read(policies: Mapping[str, Any]) -> Iterator[str]:
    """Yields the facts that are asked for, from Cedar's own JSON, so that a name that is written with escapes is read as Cedar reads it.

    A context that stands anywhere but before a name is compared as a whole, and asks for every fact.
    """
    pending: list[Any] = [policies]
    while pending:
        node = pending.pop()
        if node == _CONTEXT:
            yield from FACTS
        elif isinstance(node, dict) and node.get("left") == _CONTEXT and isinstance(node.get("attr"), str):
            yield node["attr"]
        elif isinstance(node, dict | list):
            pending.extend(node.values() if isinstance(node, dict) else node)


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest(Reason.POLICY_INVALID, f"The policy is refused, the one in force stays: {why[:500]}.")
