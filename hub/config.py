"""The hub's settings: every limit with its unit and reason. The only reader of TOML and of the environment.

Order, first wins: `SEAWALL_HUB_…` environment variables (`__` between nested names), then `hub.toml`, then the defaults here.
"""

import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from contract.carrying import LONGEST_ROUND_SECONDS
from contract.errors import InvalidRequest, Reason
from contract.learning_limits import LEAST_COHORT
from contract.secagg.rules import MOST_AGENTS
from contract.tracing import check_endpoint

DATA_VARIABLE = "SEAWALL_HUB_DATA"
DEFAULT_DATA = Path("seawall-hub")
CONFIG_FILE = "hub.toml"

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""The largest gRPC message either way. Ours are prompts and certificates; gRPC's own default, said aloud."""

_PREFIX = "SEAWALL_HUB_"
_BASE_URLS = {"openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com"}


def split_address(address: str) -> tuple[str, int]:
    """Reads `host:port` or `[ipv6]:port`. Port 0: any free one.

    Raises:
        ValueError: it is neither.
    """
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) < 65536):
        raise ValueError("write it as host:port, such as 127.0.0.1:7444")
    return host, int(port)


_ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # read, not listened on


def connectable(host: str) -> str:
    """Returns where to connect on this machine, to what listens on a host: `0.0.0.0` is no place to go to."""
    return _ANY_HOST.get(host, host)


def _check_address(address: str) -> str:
    split_address(address)
    return address


Source = PydanticBaseSettingsSource
ListenAddress = Annotated[str, AfterValidator(_check_address)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Listeners(_Frozen):
    """Where the hub listens. Loopback until somebody decides otherwise."""

    enrollment: ListenAddress = "127.0.0.1:7443"
    mtls: ListenAddress = "127.0.0.1:7444"
    metrics: ListenAddress | Literal[""] = "127.0.0.1:7445"


class Limits(_Frozen):
    """How much of each thing, and why.

    Args:
        agent_certificate_days: an agent's certificate lives so long: a stolen one dies by itself.
        last_seen_seconds: when agents last called is written this often, for all at once, so that calls cost no disk write each.
        heartbeat_seconds: agents are told to send one this often.
        sessions: agents' streams at once; each takes memory.
        events_days: what happened is kept so long, and commands after their end.
        audit_days: what was escalated is kept so long in clear; its hash stays for ever.
        recovery_days: an agent that was off may come back so long after its certificate has expired.
        escalations: answers streamed at once; each holds a connection to a provider.
        escalations_per_agent: of these, for one agent: it works on 8 prompts at once, and may not starve the others.
        prompt_characters: of all messages of one prompt together; far above any provider's context, far below MAX_MESSAGE_BYTES.
        messages: turns of one conversation.
        output_tokens: the most that one answer may take, since each is paid for.
        breaker_failures: this many failures in a row cut a provider off.
        breaker_seconds: so long, before one prompt tries it again.
        keepalive_seconds: between pings on an idle connection; home and mobile NAT forgets after 30 s and more.
        stop_seconds: answers that still stream when the hub is told to stop have so long to end.
    """

    agent_certificate_days: PositiveInt = 30
    last_seen_seconds: PositiveFloat = 60
    heartbeat_seconds: PositiveFloat = 30
    sessions: PositiveInt = 20_000
    events_days: PositiveInt = 30
    audit_days: PositiveInt = 365
    recovery_days: NonNegativeInt = 90
    escalations: PositiveInt = 256
    escalations_per_agent: PositiveInt = 8
    prompt_characters: PositiveInt = Field(default=1_000_000, le=1_000_000)
    messages: PositiveInt = 1000
    output_tokens: PositiveInt = 4096
    breaker_failures: PositiveInt = 5
    breaker_seconds: PositiveFloat = 30
    keepalive_seconds: PositiveFloat = 25
    stop_seconds: NonNegativeFloat = 2


class TelemetrySettings(_Frozen):
    """Traces. Metrics have a listener of their own.

    Args:
        otlp_endpoint: the collector that traces are sent to by OTLP over gRPC; empty: nothing is traced, nothing is sent.
        otlp_ca_file: that signs the collector's certificate, for https; unset: the usual authorities.
        sample_ratio: of the traces that begin here, so many are kept; those that an agent began bring their own decision.
    """

    otlp_endpoint: Annotated[str, AfterValidator(check_endpoint)] = ""
    otlp_ca_file: Path | None = None
    sample_ratio: float = Field(default=1.0, ge=0, le=1)


class ProviderSettings(_Frozen):
    """One place that answers prompts.

    Args:
        name: as it appears in receipts and metrics.
        kind: whose wire format it speaks. `openai` is every compatible server: vLLM, Triton, TGI, llama.cpp, Azure.
        base_url: empty: the kind's own cloud.
        tier: `private`: the fleet's owner runs it; `public`: somebody else does.
        region: where it runs, for policies and receipts.
        operator: who runs it, for policies; empty: not known.
        retention_days: for so long it keeps what it is sent, for policies; unset: not known.
        api_key_env: the environment variable that holds the key; empty: the server wants none.
        connect_seconds: for the TCP and TLS handshake.
        first_token_seconds: from the request to the first text; then the next provider is tried.
        timeout_seconds: for the whole answer.
        output_limit_name: `openai` alone: the request field of the limit; OpenAI's newer models take `max_completion_tokens` alone.
        send_temperature: `openai` alone: false for models that refuse one.
        input_price_per_million_tokens: what the provider asks, in `currency`, for the audit log; unset: an escalation's cost is not known.
        output_price_per_million_tokens: as above.
        currency: ISO 4217.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    kind: Literal["openai", "anthropic"]
    base_url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    model: str = Field(min_length=1)
    tier: Literal["private", "public"]
    region: str = Field(min_length=1)
    operator: str = ""
    retention_days: Annotated[int, Field(ge=0, le=36_500)] | None = None
    api_key_env: str = Field(default="", pattern=r"^[A-Za-z0-9_]*$")
    connect_seconds: PositiveFloat = 5
    first_token_seconds: PositiveFloat = 20
    timeout_seconds: PositiveFloat = 120
    output_limit_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    send_temperature: bool = True
    input_price_per_million_tokens: NonNegativeFloat | None = None
    output_price_per_million_tokens: NonNegativeFloat | None = None
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")

    @property
    def url(self) -> str:
        """The base URL, the kind's own where none is configured."""
        return self.base_url or _BASE_URLS[self.kind]


class LearningSettings(_Frozen):
    """What agents are asked for together, by sums that show none of them alone.

    Args:
        listen: where Flower's Fleet API is while a round is played, such as 0.0.0.0:7446; empty: no rounds are played.
        enabled: rounds begin by themselves, where `listen` is set; without it, operators begin them.
        roster: the name of the signed roster.
        smallest_cohort: agents asked together, where the fleet is small; what their own rules allow.
        cohort: agents asked together, where there are enough: a group of fewer is put together with other small ones.
        stage_seconds: each stage of a round has to be answered within; who is late is left out.
        heard_seconds: agents that were not heard of for so long are not asked.
        look_seconds: between two looks whether a round is due.
        exact: the rounds that begin by themselves ask for sums without noise, which few agents allow.
        group_by: and for sums by these: `model`, `labels.KEY`.
    """

    listen: ListenAddress | Literal[""] = ""
    enabled: bool = False
    roster: str = Field(default="fleet", pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")
    smallest_cohort: int = Field(default=8, ge=LEAST_COHORT, le=MOST_AGENTS)
    cohort: int = Field(default=20, ge=LEAST_COHORT, le=MOST_AGENTS)
    stage_seconds: float = Field(default=60, gt=0, le=LONGEST_ROUND_SECONDS / 6)  # five stages, and the time in which agents come
    heard_seconds: PositiveFloat = 300
    look_seconds: PositiveFloat = 600
    exact: bool = False
    group_by: tuple[str, ...] = ("model",)

    @model_validator(mode="after")
    def _rounds_have_a_place(self) -> Self:
        if self.enabled and not self.listen:
            raise ValueError("no round begins by itself while listen is empty; set it, such as 0.0.0.0:7446, or enabled = false")
        return self


class Settings(BaseSettings):
    """All of it.

    Args:
        trust_domain: the SPIFFE trust domain; chosen once, since every certificate carries it.
        database_url: such as postgresql://user:password@host/name, which several hubs may share; empty: SQLite in the data folder.
        blobs_url: where what is distributed is kept, such as s3://BUCKET/seawall; empty: in the data folder.
        region: where this hub runs, for policies; empty: not known.
        operator: who runs it, for policies; empty: not known.
        policy_file: Cedar policies in place of contract/default.cedar, by which the hub decides again on what agents send it.
        providers: in the order in which they are tried.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=_PREFIX, env_nested_delimiter="__")

    trust_domain: str = Field(default="seawall.internal", pattern=r"^[a-z0-9._-]{1,255}$")
    database_url: str = ""
    blobs_url: str = ""
    region: str = ""
    operator: str = ""
    policy_file: Path | None = None
    listeners: Listeners = Listeners()
    limits: Limits = Limits()
    telemetry: TelemetrySettings = TelemetrySettings()
    learning: LearningSettings = LearningSettings()
    providers: tuple[ProviderSettings, ...] = ()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [provider.name for provider in self.providers]
        if len(names) != len(set(names)):
            raise ValueError("two providers have the same name")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: Source,
        env_settings: Source,
        dotenv_settings: Source,
        file_secret_settings: Source,
    ) -> tuple[Source, ...]:
        """The environment wins over what `load` read from the file."""
        del settings_cls, dotenv_settings, file_secret_settings
        return (env_settings, init_settings)


def load(path: Path) -> Settings:
    """Reads the settings.

    Args:
        path: the TOML file.

    Raises:
        InvalidRequest: CONFIG_INVALID, with every fault that was found.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(Reason.CONFIG_INVALID, f"{path} cannot be read: {error}. Mend that line.") from error
    except OSError as error:
        raise InvalidRequest(
            Reason.CONFIG_INVALID,
            f"{path} cannot be read: {error.strerror}. Name the hub's data folder by --data or {DATA_VARIABLE}; "
            f"a new hub's is made by: seawall-hub init --data {path.parent}",
        ) from error
    try:
        return Settings(**content)
    except ValidationError as error:
        faults = "; ".join(_fault(item) for item in error.errors(include_input=False, include_url=False))
        raise InvalidRequest(Reason.CONFIG_INVALID, f"{path} or a {_PREFIX}* variable is wrong: {faults}.") from error
    except SettingsError as error:
        raise InvalidRequest(Reason.CONFIG_INVALID, f"A {_PREFIX}* variable cannot be read: {error}. Write lists as JSON.") from error


def read_api_keys(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """Returns each provider's key by the provider's name; the file names only the variables.

    Args:
        settings: with the providers.
        environment: `os.environ`.

    Raises:
        InvalidRequest: CONFIG_INVALID, a variable is not set.
    """
    missing = [provider for provider in settings.providers if provider.api_key_env and not environment.get(provider.api_key_env)]
    if missing:
        wanted = ", ".join(f"{provider.api_key_env} (provider {provider.name})" for provider in missing)
        raise InvalidRequest(Reason.CONFIG_INVALID, f"Environment variables with API keys are not set: {wanted}. Set them and start again.")
    return {provider.name: environment[provider.api_key_env] for provider in settings.providers if provider.api_key_env}


def _fault(item: Mapping[str, Any]) -> str:
    """One fault, without the value: it might be a secret in the wrong place."""
    where = ".".join(str(part) for part in item["loc"])
    what = _unknown(item["loc"]) if item["type"] == "extra_forbidden" else str(item["msg"]).removeprefix("Value error, ")
    return f"{where}: {what}" if where else what


def _unknown(loc: Sequence[str | int]) -> str:
    """Says that there is no such key, and which one may be meant."""
    sections: dict[str, type[BaseModel]] = {
        "listeners": Listeners,
        "limits": Limits,
        "providers": ProviderSettings,
        "learning": LearningSettings,
    }
    section = sections.get(str(loc[0])) if len(loc) > 1 else Settings
    meant = get_close_matches(str(loc[-1]), section.model_fields, 1) if section else []
    return f"unknown key; did you mean {meant[0]}?" if meant else "unknown key"
