"""What the hub has said of itself and its providers, for policies. Kept on the disk, so that an agent that starts without its hub knows it.

It is the hub's own word. Whoever does not trust it lets nothing pass it: what a hub is sent, it can read, wherever it says that it stands.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from agent.identity.files import Identity, write_private
from contract.surroundings import Hub, Provider
from seawall.hub.v1.escalation_pb2 import PROVIDER_TIER_PRIVATE, PROVIDER_TIER_PUBLIC, HubProfile, ProviderProfile

_TIERS: dict[int, str] = {PROVIDER_TIER_PRIVATE: "private", PROVIDER_TIER_PUBLIC: "public"}
_MOST_PROVIDERS = 256

_log = structlog.get_logger(__name__)


class KnownHub:
    """Remembers the hub.

    Args:
        file: where it is kept.
        identity: enrolled with it; what another hub has said is nothing to this one.
    """

    def __init__(self, file: Path, identity: Identity) -> None:
        self._file = file
        self._name = identity.trust_domain
        self._address = identity.hub_address
        self.hub = self._read()

    def tell(self, profile: HubProfile | None) -> None:
        """Takes what the hub says at the begin of a session; None: it says nothing, and so is not known.

        Providers of a tier that this version does not know are left out. Names that are there twice, or too many, make all of it unknown.
        """
        hub = None if profile is None else _hub(self._name, profile)
        if hub == self.hub:
            return
        self.hub = hub
        try:
            write_private(self._file, json.dumps({"address": self._address, "hub": None if hub is None else asdict(hub)}).encode())
        except OSError as error:  # it says so again at the next session
            _log.warning("what the hub says of itself cannot be kept", error=str(error))

    def _read(self) -> Hub | None:
        try:
            content = json.loads(self._file.read_bytes())
            if content["address"] != self._address or content["hub"] is None or content["hub"]["name"] != self._name:
                return None
            return _kept(content["hub"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            _log.warning("what the hub said of itself cannot be read: nothing leaves before it says it again", error=type(error).__name__)
            return None


def _hub(name: str, profile: HubProfile) -> Hub | None:
    names = {provider.name for provider in profile.providers}
    if len(names) < len(profile.providers) or len(names) > _MOST_PROVIDERS:
        return None
    return Hub(name, profile.region, profile.operator, tuple(_providers(profile.providers)))


def _providers(told: Iterable[ProviderProfile]) -> Iterable[Provider]:
    for provider in told:
        if provider.tier in _TIERS:
            days = provider.retention_days if provider.HasField("retention_days") else None
            yield Provider(provider.name, _TIERS[provider.tier], provider.region, provider.operator, days)


def _kept(content: dict[str, Any]) -> Hub:
    providers = content.pop("providers")
    return Hub(**content, providers=tuple(Provider(**provider) for provider in providers))
