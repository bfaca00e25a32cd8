"""Sums over a fleet from the operator's commands on: a roster is proposed, signed and published; agents are asked; a report is read."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection
from structlog.testing import capture_logs

from agent.identity.files import Identity
from agent.learning.participation import Participation
from agent.state import StateFolder
from contract.calibration.maps import CONFIDENCE, SIMILARITY, Calibrations, Fitted, Map
from contract.calibration.report import Report
from contract.errors import Reason
from contract.identity import key_hash
from contract.learning import window_before
from contract.subjects import EMBEDDER
from contract.tree_heads import public_der
from hub.clock import utc_now
from hub.store import agents, replicas
from seawall.hub.v1 import agent_pb2
from tests.fakes.grid import FakeGrid
from tests.fakes.hub import running_hub
from tests.fakes.operator_site import MODEL as DIGEST
from tests.fakes.operator_site import SKETCH, WINDOW, Site
from tests.fakes.secagg_cohort import refused

SIZE = 8
MODEL = "models/tiny/versions/1.0.0"


async def heard_of(site: Site) -> None:
    """Has the hub have heard of all agents just now, over sessions, and of what they serve."""
    report = agent_pb2.AgentReport(model=MODEL, model_digest=DIGEST).SerializeToString()

    def work(connection: Connection) -> None:
        [replica_id] = replicas.beats(connection)
        for agent_id, state in site.devices.items():
            member_key_hash = key_hash(public_der(state.identity.member_key()))
            values = {"report": report, "replica_id": replica_id, "member_key_hash": member_key_hash}
            agents.change(connection, agent_id, last_seen_time=utc_now(), **values)

    await site.hub.hub.database.write(work)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """What agents log would be read as what the commands print."""
    with capture_logs():
        yield


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    grid = FakeGrid({})
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(running_hub(tmp_path / "hub", gather=grid.gather))

        @asynccontextmanager
        async def carry(identity: Identity, _state: StateFolder, participation: Participation) -> AsyncIterator[None]:
            grid.devices[identity.agent_id] = participation.answer
            yield

        made = Site(hub, tmp_path / "ceremony", tmp_path, stack, carry)
        await made.trust()
        for number in range(SIZE):
            await made.add_device(f"plant-{number}")
        await heard_of(made)
        yield made


async def test_a_fleet_is_asked_and_its_report_is_read(site: Site) -> None:
    assert "published rosters/fleet/versions/1.json" in await site.sign_roster()
    begun = await site.read("learning", "start", "--exact", "--by", "model")
    ended = await site.ended(begun["name"])
    assert (ended["state"], ended["window"], ended["rosterVersion"]) == ("SUCCEEDED", WINDOW, "1")
    [cohort] = ended["cohorts"]
    assert (cohort["contributors"], cohort["group"]) == (SIZE, {"model": MODEL})
    row = await site.run("learning", "rounds")
    assert begun["name"].removeprefix("rounds/") in row
    [group] = (await site.read("learning", "report", "--by", "model"))["groups"]
    assert (group["sums"]["route.local"], group["contributors"], group["group"]) == (str(SIZE), SIZE, {"model": MODEL})
    drift = {cell: int(count) for cell, count in group["sums"].items() if cell.startswith("drift.") and int(count)}
    assert drift == {f"drift.{direction}.{bucket}": SIZE for direction, bucket in enumerate(SKETCH)}
    chart = await site.run("learning", "report", "--cells", "route")
    assert f"{SIZE} agents in 1 cohorts" in chart
    assert (await site.read("learning", "report"))["against"] == f"reports/{window_before(WINDOW)}"
    assert (await site.read("learning", "report", "--against", "2026-W10"))["against"] == "reports/2026-W10"
    assert "drift since 2026-W10: there is no report of 2026-W10" in await site.run("learning", "report", "--against", "2026-W10")
    assert "route.local" in chart
    assert "class." not in chart


async def test_the_confidence_of_a_model_and_the_caches_similarity_are_summed_under_the_map_in_force_and_their_files_are_printed(
    site: Site,
) -> None:
    await site.sign_roster()
    begun = await site.read("learning", "start", "--exact", "--of", "confidence", "--model", MODEL)
    ended = await site.ended(begun["name"])
    assert (ended["state"], ended["confidence"]) == ("SUCCEEDED", {"modelDigest": DIGEST, "slope": 1.0})
    name = begun["name"].removeprefix("rounds/")
    report = Report.from_json((await site.run("learning", "sums", name)).encode())
    assert (report.model, [cohort.devices for cohort in report.cohorts]) == (DIGEST, [SIZE])
    begun = await site.read("learning", "start", "--exact", "--of", "similarity")
    ended = await site.ended(begun["name"])
    assert (ended["state"], ended["similarity"]) == ("SUCCEEDED", {"embedderDigest": EMBEDDER, "slope": 1.0})
    report = Report.from_json((await site.run("learning", "sums", begun["name"].removeprefix("rounds/"))).encode())
    assert (report.score, report.model, [cohort.devices for cohort in report.cohorts]) == (SIMILARITY, EMBEDDER, [SIZE])
    rows = await site.run("learning", "rounds")
    assert "confidence" in rows
    assert "similarity" in rows


async def test_under_a_map_that_devices_do_not_have_nobody_reports(site: Site) -> None:
    await site.sign_roster()
    folder, in_force = site.folder / "fleet-policy", Map(2.0, 0.5)
    folder.mkdir()
    order = ("learning", "start", "--of", "confidence", "--model", DIGEST, "--policy", str(folder))
    with refused(Reason.POLICY_INVALID):
        await site.run(*order)
    (folder / "policy.cedar").write_text("")
    (folder / "calibration.json").write_bytes(Calibrations((Fitted(CONFIDENCE, DIGEST, in_force, 300),)).to_json())
    begun = await site.read(*order)
    assert begun["confidence"] == {"modelDigest": DIGEST, "slope": 2.0, "offset": 0.5}
    assert (await site.ended(begun["name"]))["state"] == "FAILED"
    (folder / "calibration.json").write_bytes(Calibrations((Fitted(SIMILARITY, EMBEDDER, in_force, 300),)).to_json())
    begun = await site.read("learning", "start", "--of", "similarity", "--policy", str(folder))
    assert begun["similarity"] == {"embedderDigest": EMBEDDER, "slope": 2.0, "offset": 0.5}


async def test_a_round_without_its_model_or_of_one_that_nobody_has_is_refused(site: Site) -> None:
    similarity = ("--of", "similarity", "--model", DIGEST)
    for options in (("--of", "confidence"), ("--model", DIGEST), ("--of", "confidence", "--model", "unheard of"), similarity):
        with refused(Reason.FIELD_INVALID):
            await site.run("learning", "start", *options)


async def test_an_agent_that_is_not_in_the_signed_roster_is_not_asked(site: Site) -> None:
    assert f"no roster that can be used is published (ROSTER_UNKNOWN), and {SIZE} agents" in await site.run("learning", "rounds")
    await site.sign_roster()
    assert f"roster 1 has all {SIZE} agents" in await site.run("learning", "rounds")
    await site.add_device("newcomer")
    await heard_of(site)
    begun = await site.read("learning", "start")
    ended = await site.ended(begun["name"])
    assert sum(cohort["size"] for cohort in ended["cohorts"]) == SIZE
    assert f"roster 1 lacks 1 of {SIZE + 1} agents" in await site.run("learning", "rounds")
    assert "published rosters/fleet/versions/2.json" in await site.sign_roster()
    assert f"roster 2 has all {SIZE + 1} agents" in await site.run("learning", "rounds")
