"""`seawall-agent learning show`."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.__main__ import app
from agent.learning.ledger import LedgerStore, Price
from agent.learning.rosters import KeptRoster
from agent.state import StateFolder
from agent.store.database import Database
from contract.calibration.maps import CONFIDENCE, SAME
from contract.calibration.sums import tally
from contract.identity import key_hash
from contract.privacy_account import Budget, epsilon
from contract.secagg.roster import Roster
from contract.subjects import Confidence
from contract.tree_heads import public_der
from tests.fakes.identities import identity


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "agent.toml"
    file.write_text(f'state_folder = "{tmp_path / "state"}"\n[learning]\nenabled = true\nsmallest_cohort = 10\n')
    return file


def show(config: Path, *options: str) -> str:
    result = CliRunner().invoke(app, ["learning", "show", "-c", str(config), *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def contribute(state: Path) -> None:
    folder = StateFolder(state)
    database = Database(folder.database, folder.data_key())
    ledger = LedgerStore(database)
    ledger.see_roster(7)
    ledger.spend("2026-W47", bytes(32), Price(1 / 32, Budget(10.0, 1e-6), 20, is_exact=False), 1_795_000_000.0)
    ledger.keep_counts("2026-W47", {"route.local": 3, "route.cache": 2, "class.public": 5})
    ledger.spend("2026-W48", bytes(32), Price(1 / 32, Budget(10.0, 1e-6), 20, is_exact=False), 1_795_600_000.0)
    database.close()


def test_a_new_device_has_given_nothing_and_says_why_it_is_off(config: Path) -> None:
    shown = show(config)
    assert "Off: this device is not enrolled" in shown
    assert "at least 10 devices; without noise: never" in shown
    assert "ε 0.00 of 10 is spent" in shown
    config.write_text(config.read_text().replace("true", "false"))
    assert "Off: the configuration says so" in show(config)


def test_the_member_key_is_shown_and_whether_the_roster_has_it(config: Path, tmp_path: Path) -> None:
    contribute(tmp_path / "state")
    state = StateFolder(tmp_path / "state")
    state.identity.write(identity("till-1"))
    assert "Member key" not in show(config), "looking makes none"
    own = key_hash(public_der(state.identity.member_key()))
    assert f"Member key: {own}" in show(config)
    for members, says in (
        ({"till-1": own}, "has this device."),
        ({"till-2": own}, "does not have this device"),
        ({"till-1": "0" * 64}, "has another member key for this device"),
    ):
        KeptRoster(state.learning).keep(Roster(7, members))
        assert f"Version 7 {says}" in show(config)
    assert json.loads(show(config, "--json"))["member_key_hash"] == own


def test_what_was_contributed_is_shown_by_week(config: Path, tmp_path: Path) -> None:
    contribute(tmp_path / "state")
    shown = show(config)
    assert "Roster: 7." in shown
    assert f"ε {epsilon(2 / 32, 1e-6):.2f} of 10 is spent" in shown
    rows = [line.split() for line in shown.splitlines() if line.startswith("2026-W")]
    assert [row[0] for row in rows] == ["2026-W47", "2026-W48"]
    assert rows[0][-1] == "5"
    assert "stopped before it had counted" in shown


def test_a_week_of_confidence_is_shown_beside_that_of_use(config: Path, tmp_path: Path) -> None:
    contribute(tmp_path / "state")
    folder = StateFolder(tmp_path / "state")
    database = Database(folder.database, folder.data_key())
    LedgerStore(database).spend("2026-W47.confidence", bytes(32), Price(0.0, Budget(10.0, 1e-6), 20, is_exact=True), 1_795_000_000.0)
    LedgerStore(database).keep_counts("2026-W47.confidence", Confidence("sha256:a").named(tally(CONFIDENCE, SAME, [(0.7, True)] * 3)))
    database.close()
    [row] = [line.split() for line in show(config).splitlines() if line.startswith("2026-W47.confidence")]
    assert (row[-2], row[-1]) == ("none", "3")


def test_json_has_the_counts_that_never_left(config: Path, tmp_path: Path) -> None:
    contribute(tmp_path / "state")
    said = json.loads(show(config, "--json"))
    assert (said["enabled"], said["roster_version"], said["limits"]["smallest_cohort"]) == (False, 7, 10)
    assert said["contributions"][0]["counts"] == {"route.local": 3, "route.cache": 2, "class.public": 5}
    assert said["epsilon_spent"] + said["epsilon_left"] == pytest.approx(10.0)
