"""What the two intakes can be told. Frozen; whoever reads the configuration embeds these models."""

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_validator, model_validator

Port = Annotated[int, Field(ge=0, le=65535)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
KeyName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]

_MIB = 1024 * 1024


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class TlsSettings(_Settings):
    """TLS to the broker.

    Args:
        ca_file: whom to trust, PEM; None: the system's certificate authorities.
        certificate_file: the client's own certificate, PEM, where the broker asks for one.
        key_file: its private key, PEM.
    """

    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("set both certificate_file and key_file, or neither")
        return self


class MqttSettings(_Settings):
    """How prompts come by MQTT.

    Args:
        protocol: the MQTT version spoken to the broker. Clients may speak another one to it.
        session_expiry_seconds: how long the broker keeps prompts for an agent that is away (MQTT 5; with 3.1.1 the broker decides).
        reconnect_min_seconds: about the first wait after a lost connection; doubled each time.
        reconnect_max_seconds: the longest wait.
        max_payload_bytes: a longer prompt is refused.
        max_concurrent_prompts: answered at once; the others wait in the inbox.
        max_waiting_prompts: unanswered in the inbox; more are refused.
        retention_seconds: how long the id of a delivered answer is remembered, so that the same prompt is not answered again.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 1883
    protocol: Literal["5", "3.1.1"] = "5"
    username: str | None = None
    password: SecretStr | None = None
    tls: TlsSettings | None = None
    keepalive_seconds: Annotated[int, Field(ge=5, le=65535)] = 30
    connect_timeout_seconds: Positive = 5.0
    session_expiry_seconds: Annotated[int, Field(ge=0, le=0xFFFFFFFF)] = 7 * 24 * 3600
    reconnect_min_seconds: Positive = 1.0
    reconnect_max_seconds: Positive = 60.0
    max_payload_bytes: Count = _MIB
    max_concurrent_prompts: Count = 8
    max_waiting_prompts: Count = 1000
    retention_seconds: Positive = 24 * 3600.0

    @field_validator("host")
    @classmethod
    def _resolvable(cls, host: str) -> str:
        return _checked_host(host)

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.password is not None and self.username is None:
            raise ValueError("a password needs a username")
        if self.reconnect_max_seconds < self.reconnect_min_seconds:
            raise ValueError("reconnect_max_seconds is less than reconnect_min_seconds")
        return self


class HttpSettings(_Settings):
    """How prompts come by HTTP.

    Args:
        port: 0 takes a free one.
        keys: who may ask: a name for each API key, and the SHA-256 of the key in hexadecimal. Needed unless `host` is loopback.
        allowed_hosts: further names that the Host header may have. On loopback, `localhost` and loopback addresses always may; elsewhere an
            empty list allows any name.
        allowed_origins: origins of web pages that may call, such as `https://panel.example`. No other page may.
        max_body_bytes: a longer request is refused.
        max_connections: at once; further requests get 503.
        grace_seconds: how long answers under way may take to end when the agent stops.
    """

    host: str = "127.0.0.1"
    port: Port = 8080
    keys: Mapping[KeyName, Sha256] = Field(default_factory=dict)
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    max_body_bytes: Count = _MIB
    max_connections: Count = 256
    grace_seconds: Annotated[int, Field(ge=0)] = 2

    @field_validator("host")
    @classmethod
    def _resolvable(cls, host: str) -> str:
        return _checked_host(host)

    @field_validator("allowed_origins")
    @classmethod
    def _named(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if origin == "*" or not origin.startswith(("http://", "https://")) or origin.endswith("/"):
                raise ValueError(f"'{origin}' is no origin: write it as https://panel.example, without a path; '*' is not allowed")
        return origins

    @model_validator(mode="after")
    def _closed(self) -> Self:
        if not self.keys and not self.on_loopback:
            raise ValueError(
                f"host {self.host} can be reached from other machines, and no API keys are set: "
                "add at least one under keys (a name, and the SHA-256 of the key), or set host to 127.0.0.1"
            )
        return self

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Says whether a host name or address means this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked_host(host: str) -> str:
    try:
        encoded = host.encode("idna")
    except UnicodeError as error:
        raise ValueError(f"'{host[:80]}' is no host name") from error
    if not encoded or any(character.isspace() or character == "/" for character in host):
        raise ValueError(f"'{host[:80]}' is no host name")
    return host
