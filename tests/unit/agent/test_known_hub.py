"""What an agent knows of its hub: what the hub said last, also after a restart, and nothing of another hub."""

from dataclasses import replace
from pathlib import Path

import pytest

from agent.identity.files import Identity
from agent.known_hub import KnownHub
from contract.surroundings import Hub, Provider
from seawall.hub.v1.escalation_pb2 import PROVIDER_TIER_PRIVATE, PROVIDER_TIER_PUBLIC, HubProfile, ProviderProfile

IDENTITY = Identity("a1", "seawall.test", "hub.example.org:7444", b"", b"", b"")
HOUSE = ProviderProfile(name="house", tier=PROVIDER_TIER_PRIVATE, region="de-fra", operator="acme", retention_days=0)
CLOUD = ProviderProfile(name="cloud", tier=PROVIDER_TIER_PUBLIC, region="us")
PROFILE = HubProfile(region="de-fra", operator="acme", providers=[HOUSE, CLOUD])
HUB = Hub(
    "seawall.test", "de-fra", "acme", (Provider("house", "private", "de-fra", "acme", 0), Provider("cloud", "public", "us", "", None))
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "hub.json"


def test_nothing_is_known_before_the_hub_has_spoken(file: Path) -> None:
    assert KnownHub(file, IDENTITY).hub is None


def test_what_the_hub_says_is_known_at_once_and_after_a_restart(file: Path) -> None:
    known = KnownHub(file, IDENTITY)
    known.tell(PROFILE)
    assert known.hub == HUB
    assert KnownHub(file, IDENTITY).hub == HUB


@pytest.mark.parametrize("change", [{"hub_address": "elsewhere:7444"}, {"trust_domain": "other.test"}])
def test_what_one_hub_has_said_is_not_believed_of_another(file: Path, change: dict[str, str]) -> None:
    KnownHub(file, IDENTITY).tell(PROFILE)
    assert KnownHub(file, replace(IDENTITY, **change)).hub is None  # type: ignore[arg-type]  # two strings


def test_a_hub_that_says_nothing_of_itself_any_more_is_unknown_again(file: Path) -> None:
    known = KnownHub(file, IDENTITY)
    known.tell(PROFILE)
    known.tell(None)
    assert known.hub is None
    assert KnownHub(file, IDENTITY).hub is None


def test_a_provider_of_a_tier_that_nobody_knows_is_not_known(file: Path) -> None:
    known = KnownHub(file, IDENTITY)
    known.tell(HubProfile(providers=[HOUSE, ProviderProfile(name="odd", tier=7)]))  # type: ignore[arg-type]  # of a newer hub
    assert known.hub is not None
    assert [provider.name for provider in known.hub.providers] == ["house"]


@pytest.mark.parametrize("providers", [[HOUSE, HOUSE], [ProviderProfile(name=f"p{number}") for number in range(257)]])
def test_names_that_are_there_twice_or_too_many_make_the_hub_unknown(file: Path, providers: list[ProviderProfile]) -> None:
    known = KnownHub(file, IDENTITY)
    known.tell(HubProfile(providers=providers))
    assert known.hub is None


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"address": "hub.example.org:7444"}', b'{"address": "hub.example.org:7444", "hub": {}}']
)
def test_a_damaged_file_makes_the_hub_unknown_until_it_speaks_again(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    known = KnownHub(file, IDENTITY)
    assert known.hub is None
    known.tell(PROFILE)
    assert KnownHub(file, IDENTITY).hub == HUB


def test_where_the_disk_does_not_take_it_it_is_known_until_the_end(tmp_path: Path) -> None:
    known = KnownHub(tmp_path / "gone" / "hub.json", IDENTITY)
    known.tell(PROFILE)
    assert known.hub == HUB
