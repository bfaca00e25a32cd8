"""Which policy is in force, and that doubt denies."""

from pathlib import Path

import pytest

from agent.config import AgentSettings, PrivacySettings
from agent.policies.in_force import Chosen, choose
from agent.policies.kept import KeptPolicy
from contract.calibration.maps import CONFIDENCE, NO_CALIBRATIONS, Calibrations, Fitted, Map
from contract.policy import Policy
from tests.fakes.tuf_repository import version_of

OWN = '@id("own") permit (principal, action == Action::"cache", resource);'
SIGNED = b'@id("signed") permit (principal, action, resource);'


@pytest.fixture
def kept(tmp_path: Path) -> KeptPolicy:
    return KeptPolicy(tmp_path / "policies")


def chosen(kept: KeptPolicy, folder: Path, own: str | None = None, signed: str = "") -> Chosen:
    file = folder / "own.cedar"
    if own is not None:
        file.write_text(own)
    privacy = PrivacySettings(policy_file=None if own is None else file, signed_policy=signed)
    return choose(AgentSettings(privacy=privacy, state_folder=folder), kept)


def take(kept: KeptPolicy, name: str = "fleet") -> None:
    kept.keep(version_of({"policy.cedar": [SIGNED]}, model=name)[0], {"policy.cedar": SIGNED})


def test_without_a_word_the_shipped_policy_is_in_force(kept: KeptPolicy, tmp_path: Path) -> None:
    assert "restricted-stays" in chosen(kept, tmp_path).text
    assert chosen(kept, tmp_path).trouble == ""


def test_a_signed_policy_counts_only_where_the_configuration_names_it(kept: KeptPolicy, tmp_path: Path) -> None:
    take(kept)
    assert chosen(kept, tmp_path, OWN).text == OWN
    assert chosen(kept, tmp_path, OWN, "fleet").text == SIGNED.decode()
    assert chosen(kept, tmp_path, OWN, "fleet").name == "policies/fleet/versions/1.0.0"


@pytest.mark.parametrize("taken", ["", "other"])
def test_until_the_named_one_has_come_the_sites_own_file_stands_in_and_without_one_nothing_is_allowed(
    kept: KeptPolicy, tmp_path: Path, taken: str
) -> None:
    if taken:
        take(kept, taken)
    assert chosen(kept, tmp_path, OWN, "fleet").text == OWN
    assert chosen(kept, tmp_path, signed="fleet").policy.digest == Policy("").digest
    assert "seawall-agent policy update" in chosen(kept, tmp_path, signed="fleet").trouble


def test_a_calibration_is_in_force_with_the_signed_policy_that_brought_it_and_only_where_that_is(kept: KeptPolicy, tmp_path: Path) -> None:
    fitted = Calibrations((Fitted(CONFIDENCE, "sha256:a", Map(0.7, -0.8), 900),))
    files = {"policy.cedar": SIGNED, "calibration.json": fitted.to_json()}
    kept.keep(version_of({name: [content] for name, content in files.items()}, model="fleet")[0], files)
    assert chosen(kept, tmp_path, signed="fleet").calibrations == fitted
    assert chosen(kept, tmp_path, OWN).calibrations == NO_CALIBRATIONS
    assert chosen(kept, tmp_path, OWN, "another").calibrations == NO_CALIBRATIONS
    take(kept)
    assert chosen(kept, tmp_path, signed="fleet").calibrations == NO_CALIBRATIONS


def test_a_signed_one_that_is_damaged_is_not_replaced_by_the_file(kept: KeptPolicy, tmp_path: Path) -> None:
    take(kept)
    (tmp_path / "policies" / "signed.json").write_text("{")
    found = chosen(kept, tmp_path, OWN, "fleet")
    assert found.policy.digest == Policy("").digest
    assert "damaged" in found.trouble


@pytest.mark.parametrize("text", ["permit", '@id("t") permit (principal, action == Action::"upload", resource);'])
def test_a_file_that_is_no_policy_denies_everything(kept: KeptPolicy, tmp_path: Path, text: str) -> None:
    found = chosen(kept, tmp_path, text)
    assert found.policy.digest == Policy("").digest
    assert found.trouble
    assert chosen(kept, tmp_path, text, "fleet").policy.digest == Policy("").digest
