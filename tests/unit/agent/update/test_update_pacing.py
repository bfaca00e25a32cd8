"""When and how fast is fetched, and what is told of it."""

from pathlib import Path

import pytest

from agent.update.pacing import Hours, PaceSettings
from contract.errors import InvalidRequest
from contract.pieces import Piece
from tests.fakes.fetching_device import BLOBS, INDEX, BadSource, Site, source, whole


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def test_outside_its_hours_nothing_is_fetched(site: Site) -> None:
    site.pace = PaceSettings(hours=Hours.parse("22:00-05:00"))
    asked = source()
    asked_before: list[int] = []

    def night() -> None:
        asked_before.append(len(asked.asked))
        site.moment = site.moment.replace(hour=23)

    site.waits.then = night
    await site.fetch(asked)
    assert asked_before == [0]
    assert "outside its hours" in {told.waiting for told in site.told}
    assert site.files() == whole()


async def test_a_link_that_begins_to_cost_stops_the_download(site: Site, tmp_path: Path) -> None:
    flag = tmp_path / "metered"
    site.pace = PaceSettings(metered_file=flag)
    count = iter(range(100))

    def bend(piece: Piece) -> Piece:
        if next(count) == 1:
            flag.touch()
        return piece

    received: list[int] = []
    bent = BadSource(bend)

    def at_home() -> None:
        received.append(bent.sent_bytes)
        flag.unlink()

    site.waits.then = at_home
    await site.fetch(bent)
    assert received == [2 * 262_144]
    assert site.told[-1].received_bytes == sum(map(len, BLOBS.values()))


async def test_the_rate_is_kept(site: Site) -> None:
    site.pace = PaceSettings(bytes_per_second=1e6)
    await site.fetch(source())
    assert site.waits.seconds[-1] == pytest.approx(sum(map(len, BLOBS.values())) / 1e6, rel=0.01)  # the clock stands still


async def test_progress_ends_with_everything(site: Site) -> None:
    await site.fetch(source())
    done = [told.done_bytes for told in site.told]
    assert done == sorted(done)
    assert done[0] == 0
    assert done[-1] == site.told[-1].total_bytes == INDEX.size_bytes()


@pytest.mark.parametrize("text", ["22-5", "24:00-01:00", "10:00-10:00", "10:00 - 11:00", ""])
def test_hours_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="22:00-05:00"):
        Hours.parse(text)
