"""The look from outside that a watchdog's ping stands for."""

from pathlib import Path

import pytest

from contract.errors import Unavailable
from hub.probe import Probe
from tests.fakes.hub import RunningHub, running_hub


def probe(hub: RunningHub) -> Probe:
    return Probe(hub.hub, hub.folder, hub.settings)


async def test_a_hub_that_serves_is_well(tmp_path: Path) -> None:
    async with running_hub(tmp_path) as hub:
        await probe(hub)()


async def test_a_hub_whose_store_is_away_is_not(tmp_path: Path) -> None:
    async with running_hub(tmp_path) as hub:
        looking = probe(hub)
        await looking()
        (tmp_path / "hub.db").rename(tmp_path / "away.db")
        (tmp_path / "hub.db").mkdir()
        hub.hub.database._engine.dispose()  # what is open would go on
        with pytest.raises(Unavailable):
            await looking()
        (tmp_path / "hub.db").rmdir()
        (tmp_path / "away.db").rename(tmp_path / "hub.db")


async def test_a_hub_that_listens_no_more_is_not(tmp_path: Path) -> None:
    async with running_hub(tmp_path) as hub, running_hub(tmp_path) as other:
        looking = probe(hub)
        looking.targets.append(("127.0.0.1", other.hub.mtls_port))
        await looking()
        await other.hub.stop()
        with pytest.raises(OSError, match="Connect call failed"):
            await looking()
