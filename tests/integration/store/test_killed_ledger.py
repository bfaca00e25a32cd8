"""A window is never contributed twice, wherever the device was killed while it contributed."""

from pathlib import Path

import pytest

from agent.learning.ledger import LedgerStore
from agent.store.database import Database
from tests.integration.store.killed_ledger import PRICE, contribute_and_die


@pytest.mark.parametrize("stride", [3, pytest.param(1, marks=pytest.mark.system)])
def test_a_window_is_never_contributed_twice_wherever_the_device_was_killed(tmp_path: Path, stride: int) -> None:
    Database(tmp_path / "agent.db").close()
    died, statements, outcomes = True, 1, set[tuple[bool, bool]]()
    while died:
        folder = tmp_path / str(statements)
        folder.mkdir()
        (folder / "agent.db").write_bytes((tmp_path / "agent.db").read_bytes())
        (folder / "data.key").write_bytes((tmp_path / "data.key").read_bytes())
        left = folder / "left"
        died = contribute_and_die(folder, seed=statements, statements=statements)
        first = len(left.read_bytes()) if left.exists() else 0
        contribute_and_die(folder, seed=-statements, statements=10_000)
        assert len(left.read_bytes() if left.exists() else b"") <= 1
        database = Database(folder / "agent.db")
        spent = LedgerStore(database).account().rho
        database.close()
        assert spent == PRICE.rho, "each window costs its price once, and in each case by the second try"
        outcomes.add((died, first == 1))
        statements += stride
    assert {(True, False), (False, True)} <= outcomes
