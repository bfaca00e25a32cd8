"""What Cedar is given to decide on: facts, entities and requests, in its own JSON."""

import json
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import cedarpy

from contract.classification import Classification, DataClass
from contract.surroundings import TIERS, Hub, Surroundings

Ask = tuple[str, str, str]
"""An action, its resource's type and id."""

Read = Callable[[Classification, Surroundings], Any]
"""Returns one fact; None: it is not known."""

_CLASS_NAMES = {item: str(item) for item in DataClass}

READS: Mapping[str, Read] = MappingProxyType(
    {
        "class": lambda classification, _: _CLASS_NAMES[classification.data_class],
        "kinds": lambda classification, _: classification.kinds,
        "site": lambda _, surroundings: surroundings.site or None,
        "region": lambda _, surroundings: surroundings.region or None,
        "intake": lambda _, surroundings: surroundings.intake,
        "latency_milliseconds": lambda _, surroundings: surroundings.latency_milliseconds,
        "budget_tokens": lambda _, surroundings: surroundings.budget_tokens,
    }
)
"""Every fact but `redacted`, which is no property of the prompt but of the question."""


def request(agent_id: str, ask: Ask, context: str) -> dict[str, Any]:
    """Returns one question."""
    action, kind, name = ask
    return {
        "principal": {"type": "Agent", "id": agent_id},
        "action": {"type": "Action", "id": action},
        "resource": {"type": kind, "id": name},
        "context": context,
    }


def context_of(names: Iterable[str], facts: Iterable[Any], redacted: bool) -> str:
    """Returns the facts as Cedar reads them; those that are not known are left out.

    Args:
        names: of the facts.
        facts: in the same order.
        redacted: the one that is none of them.
    """
    return json.dumps({"redacted": redacted} | {name: fact for name, fact in zip(names, facts, strict=True) if fact is not None})


def entities_of(hub: Hub | None) -> cedarpy.Entities:
    """Returns a hub and its providers.

    Raises:
        ValueError: it holds what Cedar cannot.
    """
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
