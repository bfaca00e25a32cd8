"""Settings: what is read, what wins, what is refused."""

import os
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from contract.errors import InvalidRequest, Reason
from hub.config import Limits, Listeners, ProviderSettings, Settings, load, read_api_keys, split_address
from hub.template import HUB_TOML

PROVIDER = """
[[providers]]
name = "house"
kind = "openai"
model = "m"
tier = "private"
region = "here"
"""


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("SEAWALL_HUB_"):
            monkeypatch.delenv(name)


def written(path: Path, text: str) -> Path:
    file = path / "hub.toml"
    file.write_text(text)
    return file


def test_an_empty_file_serves_on_loopback(tmp_path: Path) -> None:
    settings = load(written(tmp_path, ""))
    assert (settings.listeners.enrollment, settings.listeners.mtls) == ("127.0.0.1:7443", "127.0.0.1:7444")
    assert settings.providers == ()


def test_the_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEAWALL_HUB_LISTENERS__MTLS", "[::1]:9")
    monkeypatch.setenv("SEAWALL_HUB_DATA", "/elsewhere")
    settings = load(written(tmp_path, '[listeners]\nmtls = "127.0.0.1:1"\nenrollment = "127.0.0.1:2"\n'))
    assert (settings.listeners.mtls, settings.listeners.enrollment) == ("[::1]:9", "127.0.0.1:2")


def test_a_provider_without_a_url_is_its_kinds_own_cloud(tmp_path: Path) -> None:
    (provider,) = load(written(tmp_path, PROVIDER)).providers
    assert provider.url == "https://api.openai.com/v1"


def test_settings_are_frozen(tmp_path: Path) -> None:
    settings = load(written(tmp_path, PROVIDER))
    with pytest.raises(ValueError, match="frozen"):
        settings.trust_domain = "other"
    with pytest.raises(ValueError, match="frozen"):
        settings.providers[0].model = "other"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("bogus = 1", "bogus: unknown key"),
        ("[listeners]\nmtsl = 'x'", "listeners.mtsl: unknown key; did you mean mtls?"),
        ("[limits]\nescalation = 3", "limits.escalation: unknown key; did you mean escalations?"),
        ("trustdomain = 'x'", "trustdomain: unknown key; did you mean trust_domain?"),
        ("[listeners]\nmtls = 'no port'", "host:port"),
        ("[listeners]\nmtls = '127.0.0.1:65536'", "host:port"),
        ("[limits]\nescalations = 0", "limits.escalations"),
        ("trust_domain = 'Not Allowed'", "trust_domain"),
        ("trust_domain = ", "end of document"),
        (PROVIDER + PROVIDER, "two providers have the same name"),
        (PROVIDER + "tier = 'secret'", "line"),
        (PROVIDER.replace("openai", "telepathy"), "providers.0.kind"),
        (PROVIDER + "base_url = 'ftp://x'", "providers.0.base_url"),
        (PROVIDER + "api_key = 'sk-SECRET'", "providers.0.api_key: unknown key"),
        (PROVIDER + "api_key_env = 'sk-SECRET'", "providers.0.api_key_env"),
    ],
)
def test_a_fault_is_named_and_its_value_is_not_shown(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(InvalidRequest, match=r"hub\.toml") as raised:
        load(written(tmp_path, text))
    assert raised.value.reason is Reason.CONFIG_INVALID
    assert named in raised.value.message
    assert "SECRET" not in raised.value.message


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest) as raised:
        load(written(tmp_path, "one = 1\ntwo = 2"))
    assert "one" in raised.value.message
    assert "two" in raised.value.message


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="seawall-hub init"):
        load(tmp_path / "hub.toml")


def test_bytes_that_are_no_text_are_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "hub.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidRequest, match="cannot be read"):
        load(tmp_path / "hub.toml")


def test_a_variable_that_is_no_json_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEAWALL_HUB_PROVIDERS", "[{")
    with pytest.raises(InvalidRequest, match="providers"):
        load(written(tmp_path, ""))


def test_what_init_writes_is_good_as_it_is_and_with_every_comment_taken_out(tmp_path: Path) -> None:
    text = HUB_TOML.format(trust_domain="fleet.example")
    assert load(written(tmp_path, text)) == Settings(trust_domain="fleet.example")
    settings = load(written(tmp_path, re.sub(r"(?m)^#(?=[a-z_]+ =|\[)", "", text)))
    assert [provider.tier for provider in settings.providers] == ["private", "public"]
    assert settings.listeners == Settings().listeners
    assert settings.limits == Settings().limits


@pytest.mark.parametrize("model", [Settings, Listeners, Limits, ProviderSettings])
def test_what_init_writes_names_every_setting(model: type[BaseModel]) -> None:
    named = set(re.findall(r"(?m)^#?\[*([a-z_]+)\]*(?: =|$)", HUB_TOML))
    assert set(model.model_fields) <= named


def test_api_keys_come_from_the_named_variables(tmp_path: Path) -> None:
    settings = load(written(tmp_path, PROVIDER + "api_key_env = 'HOUSE_KEY'"))
    assert read_api_keys(settings, {"HOUSE_KEY": "k"}) == {"house": "k"}
    with pytest.raises(InvalidRequest, match=r"HOUSE_KEY \(provider house\)"):
        read_api_keys(settings, {})


def test_a_provider_may_need_no_key(tmp_path: Path) -> None:
    assert read_api_keys(load(written(tmp_path, PROVIDER)), {}) == {}


@pytest.mark.parametrize("address", ["", ":", "host", "host:", ":1", "h:-1", "h:65536", "h:x", "h:²"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        split_address(address)


def test_rounds_that_would_begin_by_themselves_nowhere_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"learning: .*listen is empty; set it, such as 0.0.0.0:7446, or enabled = false") as raised:
        load(written(tmp_path, "[learning]\nenabled = true\n"))
    assert raised.value.reason is Reason.CONFIG_INVALID
    assert load(written(tmp_path, '[learning]\nenabled = true\nlisten = "127.0.0.1:7446"\n')).learning.enabled
