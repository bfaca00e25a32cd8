"""Those who answer. Each speaks one wire format through its official client, and turns its client's errors into ours."""

from hub.config import ProviderSettings
from hub.escalation.providers.base import Provider


def create_provider(settings: ProviderSettings, api_key: str) -> Provider:
    """Returns the provider that speaks what the settings name. Only its client is imported: each takes a second."""
    if settings.kind == "openai":
        from hub.escalation.providers.openai import OpenAIProvider

        return OpenAIProvider(settings, api_key)
    from hub.escalation.providers.anthropic import AnthropicProvider

    return AnthropicProvider(settings, api_key)
