"""The settings, from real files and the environment."""

import os
from collections.abc import Callable
from datetime import time
from pathlib import Path

import pytest

from agent.config import AgentSettings, TrustSettings
from agent.config_file import find_config, load_settings
from agent.update.pacing import Hours, PaceSettings
from contract.classification import DataClass
from contract.errors import InvalidRequest, Reason
from contract.policy import Policy
from tests.fakes.permissions import closed_to_us

Load = Callable[[str], AgentSettings]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("SEAWALL"):
            monkeypatch.delenv(name)


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def loaded(text: str) -> AgentSettings:
        file = tmp_path / "agent.toml"
        file.write_text(text)
        return load_settings(file)

    return loaded


def test_the_hub_may_lower_a_calibrated_bar_from_wherever_it_is() -> None:
    assert TrustSettings(bar=0.5).most_bar == 0.5
    assert TrustSettings(bar=0.5, calibrated_bar=0.4).most_bar == 1.0


def complaint(load: Load, text: str) -> str:
    with pytest.raises(InvalidRequest) as caught:
        load(text)
    assert caught.value.reason is Reason.CONFIG_INVALID
    return caught.value.message


def test_the_file_overrides_what_is_built_in_and_nothing_else(load: Load) -> None:
    settings = load('agent_id = "plant-7"\n[model]\nslots = 4\n[privacy]\nfloor = "internal"\nphone_regions = ["FR"]\n')
    assert settings.agent_id == "plant-7"
    assert settings.model.slots == settings.model.engine(16).slots == 4
    assert settings.privacy.floor is DataClass.INTERNAL
    assert settings.privacy.phone_regions == ("FR",)
    assert settings.model.queue == AgentSettings().model.queue


def test_the_environment_overrides_the_file_one_setting_at_a_time(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEAWALL_AGENT_MODEL__SLOTS", "2")
    monkeypatch.setenv("SEAWALL_AGENT_PRIVACY__FLOOR", "restricted")
    settings = load('[model]\nslots = 4\nqueue = 9\n[privacy]\nfloor = "public"\n')
    assert (settings.model.slots, settings.model.queue) == (2, 9)
    assert settings.privacy.floor is DataClass.RESTRICTED


@pytest.mark.parametrize(
    ("text", "place", "meant"),
    [
        ("agent_idd = 'a'", "agent_idd", "agent_id"),
        ("[privcy]\nfloor = 'public'", "privcy", "privacy"),
        ("[model]\nslot = 4", "model.slot", "slots"),
        ("[mqtt]\nprot = 1", "mqtt.prot", "port"),
        ("[mqtt.tls]\nca_fil = 'x'", "mqtt.tls.ca_fil", "ca_file"),
        ("[http]\nallowed_host = []", "http.allowed_host", "allowed_hosts"),
        ("[hub]\ntimeout_second = 1", "hub.timeout_second", "timeout_seconds"),
        ("[trust]\nbarr = 1", "trust.barr", "bar"),
        ("[privacy]\nflor = 'public'", "privacy.flor", "floor"),
        ("[keep]\nanswer = 1", "keep.answer", "answers"),
    ],
)
def test_a_typing_error_names_the_setting_that_was_meant(load: Load, text: str, place: str, meant: str) -> None:
    assert f"{place}: there is no such setting, did you mean {meant}?" in complaint(load, text)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[model]\nslots = 'four'", "model.slots"),
        ("[model]\nslots = 0", "model.slots"),
        ("model = 5", "model"),
        ("[[model]]\nslots = 1", "model"),
        ("[privacy]\nfloor = 'secret'", "privacy.floor"),
        ("[privacy]\nfloor = 4", "privacy.floor"),
        ("[privacy]\nphone_regions = ['UK']", "privacy.phone_regions"),
        ("[privacy]\nphone_regions = 'GB'", "privacy.phone_regions"),
        ("[trust]\nbar = 1.5", "trust.bar"),
        ("[trust]\nbar = nan", "trust.bar"),
        ("[trust]\ncalibrated_bar = 0", "trust.calibrated_bar"),
        ("[trust]\ncalibrated_bar = 1", "trust.calibrated_bar"),
        ("[hub]\nconnect_seconds = inf", "hub.connect_seconds"),
        ("[keep]\nanswer_seconds = -1", "keep.answer_seconds"),
        ("agent_id = 'Plant 7'", "agent_id"),
        ("[mqtt]\nport = 70000", "mqtt.port"),
        ("[telemetry]\notlp_endpoint = 'collector'", "telemetry.otlp_endpoint"),
        ("[telemetry]\nsample_ratio = 2", "telemetry.sample_ratio"),
        ("[update]\nhours = '22-5'", "update.hours"),
    ],
)
def test_a_wrong_value_names_its_setting_and_the_file(load: Load, tmp_path: Path, text: str, place: str) -> None:
    assert complaint(load, text).startswith(f"{tmp_path / 'agent.toml'}: {place}: ")


def test_hours_and_a_metered_link_reach_the_pace_and_now_passes_the_hours_alone(load: Load) -> None:
    update = load("[update]\nhours = '22:00-05:00'\nmetered_file = '/run/seawall/metered'\nbytes_per_second = 5").update
    metered = Path("/run/seawall/metered")
    assert update.pace() == PaceSettings(5, Hours(time(22), time(5)), metered)
    assert update.pace(now=True) == PaceSettings(5, None, metered)
    assert AgentSettings().update.pace() == PaceSettings()


def test_a_wrong_secret_is_not_shown(load: Load) -> None:
    with pytest.raises(InvalidRequest) as caught:
        load("[mqtt]\nusername = 'a'\npassword = 20260102")
    assert "mqtt.password" in caught.value.message
    assert "20260102" not in f"{caught.value.message}{caught.value.__cause__}"


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("SEAWALL_AGENT_PRIVCY__FLOOR", "SEAWALL_AGENT_PRIVACY"),
        ("SEAWALL_AGENT_CONFG", "SEAWALL_AGENT_CONFIG"),
        ("seawall_agent_htp", "HTTP"),
    ],
)
def test_a_variable_that_sets_nothing_is_refused_and_not_passed_over(
    load: Load, monkeypatch: pytest.MonkeyPatch, variable: str, meant: str
) -> None:
    monkeypatch.setenv(variable, "x")
    message = complaint(load, "")
    assert variable in message
    assert meant in message


@pytest.mark.parametrize("variable", ["SEAWALL_AGENT_MODEL__SLOT", "SEAWALL_AGENT_MODEL"])
def test_a_variable_inside_a_section_is_checked_as_the_file_is(load: Load, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "7")
    assert "model" in complaint(load, "")


@pytest.mark.parametrize("content", [b"model = ", b"\xff\xfe", b"a = 1\na = 1", "\ufeffagent_id = 'a'".encode()])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "agent.toml"
    file.write_bytes(content)
    with pytest.raises(InvalidRequest, match=r"agent\.toml"):
        load_settings(file)


def test_a_file_that_was_named_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for missing in (tmp_path / "none.toml", tmp_path, tmp_path / ("x" * 300)):
        with pytest.raises(InvalidRequest) as caught:
            load_settings(missing)
        assert caught.value.reason is Reason.CONFIG_INVALID
    monkeypatch.setenv("SEAWALL_AGENT_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(InvalidRequest, match=r"none\.toml"):
        load_settings()


def test_a_file_that_may_not_be_read_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").touch()
    with closed_to_us(tmp_path), pytest.raises(InvalidRequest, match="cannot be read") as caught:
        load_settings(tmp_path / "agent.toml")
    assert caught.value.reason is Reason.CONFIG_INVALID


def test_the_file_that_is_given_goes_before_the_one_that_the_environment_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, named = tmp_path / "given.toml", tmp_path / "named.toml"
    given.touch()
    named.touch()
    monkeypatch.setenv("SEAWALL_AGENT_CONFIG", str(named))
    assert find_config(None) == named
    assert find_config(given) == given


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"STATE_DIRECTORY": "/var/lib/seawall:/other", "XDG_STATE_HOME": "/x"}, "/var/lib/seawall"),
        ({"XDG_STATE_HOME": "/x"}, "/x/seawall-agent"),
        ({"HOME": "/home/a"}, "/home/a/.local/state/seawall-agent"),
    ],
)
def test_state_goes_where_systemd_or_the_user_keeps_it(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], folder: str) -> None:
    for name in ("STATE_DIRECTORY", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert AgentSettings().state_folder == Path(folder)


def test_the_shipped_policy_is_in_force_unless_a_file_is_named(load: Load, tmp_path: Path) -> None:
    (tmp_path / "site.cedar").write_text('// für uns\n@id("none") forbid (principal, action, resource);', encoding="utf-8")
    assert "restricted-stays" in load("").policy_text()
    assert Policy(load(f'[privacy]\npolicy_file = "{tmp_path / "site.cedar"}"').policy_text()).digest


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_policy_file_that_cannot_be_read_is_named(load: Load, tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "site.cedar"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidRequest, match=r"site\.cedar") as caught:
        load(f'[privacy]\npolicy_file = "{file}"').policy_text()
    assert caught.value.reason is Reason.POLICY_INVALID
