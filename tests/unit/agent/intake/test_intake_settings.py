import hashlib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from agent.intake.settings import HttpSettings, MqttSettings, TlsSettings, is_loopback

KEYS = {"panel": hashlib.sha256(b"key").hexdigest()}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "::1", "127.8.8.8"])
def test_loopback_needs_no_keys(host: str) -> None:
    assert HttpSettings(host=host).on_loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "panel.example", "localhost.example"])
def test_any_other_host_needs_keys(host: str) -> None:
    with pytest.raises(ValidationError, match="no API keys are set"):
        HttpSettings(host=host)
    assert not HttpSettings(host=host, keys=KEYS).on_loopback


@pytest.mark.parametrize(
    "values",
    [
        {"keys": {"a b": KEYS["panel"]}},
        {"keys": {"panel": "key"}},
        {"keys": {"panel": KEYS["panel"].upper()}},
        {"allowed_origins": ("*",)},
        {"allowed_origins": ("panel.example",)},
        {"allowed_origins": ("https://panel.example/",)},
        {"port": 65536},
        {"host": ""},
        {"host": "a b"},
        {"host": "a" * 300},
        {"prot": 1},
    ],
)
def test_wrong_http_settings_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        HttpSettings(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"port": 0},
        {"protocol": "3.1"},
        {"password": "x"},
        {"reconnect_min_seconds": 9, "reconnect_max_seconds": 1},
        {"max_concurrent_prompts": 0},
        {"host": "mqtt://broker"},
        {"keepalive_seconds": 0},
    ],
)
def test_wrong_mqtt_settings_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MqttSettings(**values)


def test_a_certificate_needs_its_key() -> None:
    with pytest.raises(ValidationError, match="both"):
        TlsSettings(certificate_file=Path("a.pem"))


def test_a_password_is_not_shown() -> None:
    assert "hunter2" not in repr(MqttSettings(username="a", password="hunter2"))  # type: ignore[arg-type]  # as a file gives it
    with pytest.raises(ValidationError) as refused:
        MqttSettings(password="hunter2")  # type: ignore[arg-type]  # as a file gives it
    assert "hunter2" not in str(refused.value)


def test_a_name_is_loopback_only_if_it_says_so() -> None:
    assert not is_loopback("")
    assert not is_loopback("127.0.0.1.example")
