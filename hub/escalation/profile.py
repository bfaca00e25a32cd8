"""What policies may know of this hub and its providers, for the hub itself and for its agents."""

from contract.surroundings import Hub, Provider
from hub.config import ProviderSettings, Settings
from seawall.hub.v1.escalation_pb2 import PROVIDER_TIER_PRIVATE, PROVIDER_TIER_PUBLIC, HubProfile, ProviderProfile

_TIERS = {"private": PROVIDER_TIER_PRIVATE, "public": PROVIDER_TIER_PUBLIC}


def provider_of(settings: ProviderSettings) -> Provider:
    """Returns what policies may know of a provider."""
    return Provider(settings.name, settings.tier, settings.region, settings.operator, settings.retention_days)


def hub_of(settings: Settings) -> Hub:
    """Returns what policies may know of this hub."""
    return Hub(settings.trust_domain, settings.region, settings.operator, tuple(map(provider_of, settings.providers)))


def profile_of(settings: Settings) -> HubProfile:
    """Returns the same for agents. They know the trust domain from their certificates."""
    providers = [
        ProviderProfile(
            name=provider.name,
            tier=_TIERS[provider.tier],
            region=provider.region,
            operator=provider.operator,
            retention_days=provider.retention_days,
        )
        for provider in settings.providers
    ]
    return HubProfile(region=settings.region, operator=settings.operator, providers=providers)
