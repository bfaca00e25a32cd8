"""Backups: the same fleet comes back on either engine; what cannot be made or restored is refused, and leaves nothing behind."""

import asyncio
import hashlib
import io
import itertools
import json
import random
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import URL, Connection

from contract.calibration.maps import Map
from contract.errors import Conflict, InvalidRequest, NotPossibleNow
from contract.merkle import root
from contract.subjects import Confidence
from contract.tree_heads import HUB_LOG, TreeHead, public_der, sign_head, witness_head
from hub.backup import back_up, restore
from hub.clock import utc_now
from hub.folder import DataFolder, create
from hub.release.keys import online_signer
from hub.store import (
    agents,
    audit,
    commands,
    events,
    groups,
    heads,
    join_tokens,
    learning,
    nonces,
    quotas,
    releases,
    replicas,
    rollout_agents,
    rollouts,
)
from hub.store.agents import AgentRecord
from hub.store.commands import CommandRecord
from hub.store.database import Database
from hub.store.dump import TABLES
from hub.store.events import NewEvent
from hub.store.groups import GroupRecord
from hub.store.join_tokens import JoinTokenRecord
from hub.store.learning import CohortRecord, RoundRecord
from hub.store.rollout_agents import RolloutAgentRecord
from hub.store.rollouts import RolloutRecord
from tests.fakes.postgres import Postgres

T = TypeVar("T")

NOW = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
ROLLOUT = RolloutRecord("june", "x", b"\xff\0", "ACTIVE", ((NOW.isoformat(), None, None),), (1,), "spiffe://x/operators/me", NOW, NOW)
ROLLOUT_AGENT = RolloutAgentRecord("june", "plant-7", 0, "TAKE", NOW, NOW, "FETCHING", True, b"\xfe", NOW)
KEY = ec.generate_private_key(ec.SECP256R1())
COHORT = CohortRecord(
    {"labels.site": "Århus"}, 8, 6, "SUCCEEDED", lost={"KEYS": 1}, contributors=7, rho=0.5, variance=1e30, sums=(-(2**63), 7)
)
SUBJECT = Confidence("sha256:" + "a" * 64, Map(1.5, -0.1))
ROUND = RoundRecord(
    "w48-1", "2026-W48", ("labels.site",), False, 2, 2**40, "", NOW, "r1", "RUNNING", number=1, cohorts=(COHORT,), subject=SUBJECT
)
COMMAND = CommandRecord("c1", "plant-7", "RESTART", 0, NOW, NOW + timedelta(hours=1), output="Æ\n", error='"', learning_round=b"\xff\0")


def fill(connection: Connection) -> None:
    """One row of everything, with what is hard to write down."""
    replicas.insert(connection, "a" * 32, NOW)
    record = AgentRecord("plant-7", "a" * 64, bytes(range(256)), NOW, NOW, labels={"site": "Århus"}, report=b"", replica_id="a" * 32)
    agents.insert(connection, record)
    join_tokens.insert(connection, JoinTokenRecord("t1", b"\0" * 32, NOW, NOW, NOW, "r1", "plant-7"))
    groups.insert(connection, GroupRecord("oslo", "labels.site = oslo", 3, b"\xff", NOW, NOW))
    nonces.spend(connection, b"n" * 56, expire_time=NOW, now=NOW)
    quotas.begin(connection, NOW.date(), "oslo")
    quotas.add(connection, NOW.date(), "oslo", 3, 2**40)
    commands.insert(connection, COMMAND)
    releases.put_metadata(connection, "1.root.json", b"\xfe{}", NOW)
    releases.put_target(connection, "models/x/versions/1.json", b"", NOW)
    rollouts.insert(connection, ROLLOUT)
    rollout_agents.insert(connection, [ROLLOUT_AGENT])
    rollout_agents.want(connection, "june", ["plant-7"], b"\xfd")
    signed = sign_head(KEY, TreeHead("agents/plant-7", 3, b"\xff" * 32, NOW))
    heads.add_key(connection, public_der(KEY), NOW)
    heads.put(connection, "plant-7", signed, witness_head(KEY, signed, NOW))
    heads.refuse(connection, "plant-7", signed.head, b"\0evidence")
    for number in range(5):
        audit.append(connection, NOW, "plant-7", f'{{"number":{number}}}')
    audit.put_head(connection, sign_head(KEY, TreeHead(HUB_LOG, 5, root(audit.nodes(connection), 5), NOW)))
    learning.insert(connection, ROUND)
    learning.begin(connection, ROUND, ["plant-7"])
    events.append(connection, [NewEvent(NOW, "AGENT_ENROLLED", f"agents/{number}") for number in range(1200)])
    events.forget(connection, NOW + timedelta(1))


def everything(connection: Connection) -> list[Any]:
    return [
        agents.get(connection, "plant-7"),
        join_tokens.get(connection, "t1"),
        groups.everything(connection),
        quotas.get(connection, NOW.date(), "oslo"),
        commands.get(connection, "plant-7", "c1"),
        events.after(connection, 0, 10),
        releases.get_metadata(connection, "1.root.json"),
        releases.get_target(connection, "models/x/versions/1.json"),
        rollouts.get(connection, "june"),
        rollout_agents.get(connection, "june", "plant-7"),
        heads.get(connection, "plant-7"),
        heads.refused(connection, "plant-7"),
        heads.keys(connection),
        audit.newest_head(connection),
        list(audit.entries(connection)),
        list(audit.leaves(connection)),
        root(audit.nodes(connection), audit.size(connection)),
        learning.get(connection, "w48-1"),
        learning.asked(connection, "2026-W48"),
    ]


def on_database(url: str | URL, work: Callable[[Connection], T]) -> T:
    """Does work on a database, as a hub would."""
    database = Database.open(url)
    try:
        return asyncio.run(database.write(work))
    finally:
        database.close()


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    result = DataFolder(tmp_path / "hub")
    create(result, "seawall.test", [], utc_now)
    return result


@pytest.fixture
def saved(folder: DataFolder, tmp_path: Path) -> Path:
    on_database(folder.database_url, fill)
    target = tmp_path / "backup"
    assert back_up(folder, folder.database_url, target) == 1
    return target


def in_folder(_folder: DataFolder) -> str:
    return ""


@pytest.mark.parametrize("into", ["sqlite", "postgresql"])
def test_the_same_fleet_comes_back_from_either_engine_into_either(
    folder: DataFolder, tmp_path: Path, database_url: str, into: str, postgres: Postgres
) -> None:
    on_database(database_url, fill)
    before = on_database(database_url, everything)
    assert back_up(folder, database_url, tmp_path / "backup") == 1
    assert set(_described(tmp_path / "backup")["rows"]) == {table.name for table in TABLES}  # a new table needs a row in `fill`
    other = DataFolder(tmp_path / "other")
    url = postgres.create_database() if into == "postgresql" else f"sqlite:///{tmp_path / 'other.db'}"
    assert restore(tmp_path / "backup", other, lambda _: url) == 1
    record = before[0]
    assert isinstance(record, AgentRecord)
    assert on_database(url, everything) == [replace(record, replica_id=None), *before[1:]]

    def go_on(connection: Connection) -> tuple[list[int | None], list[int]]:
        commands.insert(connection, replace(COMMAND, command_id="c2"))
        events.append(connection, [NewEvent(NOW, "AGENT_ENROLLED", "agents/x")])
        numbers = [record.number for record in commands.page(connection, None, None, 10)]
        return numbers, [event.sequence for event in events.after(connection, 0, 10)]

    assert on_database(url, go_on) == ([2, 1], [1200, 1201])


def test_the_online_key_comes_back_once_there_is_one(folder: DataFolder, tmp_path: Path) -> None:
    on_database(folder.database_url, fill)
    online_signer(folder.path)
    back_up(folder, folder.database_url, tmp_path / "backup")
    restore(tmp_path / "backup", DataFolder(tmp_path / "new"), in_folder)
    assert (tmp_path / "new" / "online.key").read_bytes() == (folder.path / "online.key").read_bytes()


def test_every_file_comes_back_as_it_was_for_its_owner_alone(folder: DataFolder, saved: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    assert restore(saved, DataFolder(tmp_path / "new"), in_folder) == 1
    for path in (tmp_path / "new").iterdir():
        assert path.stat().st_mode & 0o077 == 0
        assert path.name == "hub.db" or path.read_bytes() == (folder.path / path.name).read_bytes()
    names = {"hub.db", "hub.toml", "ca.key", "ca.crt", "server.key", "server.crt", "operator.key", "operator.crt"}
    assert {path.name for path in (tmp_path / "new").iterdir()} == names
    assert saved.stat().st_mode & 0o077 == 0


LATER = (
    "quota_usage",
    "release_metadata",
    "release_targets",
    "rollout_agents",
    "rollouts",
    "spent_nonces",
    "hub_keys",
    "witnessed_heads",
    "refused_heads",
    "audit_entries",
    "audit_nodes",
    "audit_heads",
    "learning_rounds",
    "learning_cohorts",
    "learning_asked",
)
"""Tables that came after revision 0002."""


def test_a_backup_of_an_older_version_is_brought_up_to_date(saved: Path, tmp_path: Path) -> None:
    def age(contents: dict[str, bytes]) -> None:
        described = json.loads(contents["contents.json"])
        described["revision"] = "0002"
        rows = [json.loads(line) for line in contents["database.jsonl"].splitlines()]
        later = {
            "agents": ("replica_id", "certificate_issuer", "release", "release_number", "release_rollout", "member_key_hash"),
            "join_tokens": ("labels",),
            "groups": ("escalations_per_day", "tokens_per_day"),
            "commands": ("learning_round",),
        }
        for table, row in rows:
            for column in later.get(table, ()):
                row.pop(column)
        rows = [row for row in rows if row[0] not in LATER]
        for name in LATER:
            del described["rows"][name]
        contents["database.jsonl"] = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        described["sha256"]["database.jsonl"] = hashlib.sha256(contents["database.jsonl"]).hexdigest()
        contents["contents.json"] = json.dumps(described).encode()

    _repack(saved, age)
    assert restore(saved, DataFolder(tmp_path / "new"), in_folder) == 1
    assert on_database(DataFolder(tmp_path / "new").database_url, everything)[2]


def test_a_backup_is_of_one_moment_while_the_hub_writes(folder: DataFolder, database_url: str, tmp_path: Path) -> None:
    """Every write adds an agent and an event: a backup of two moments has not as many of one as of the other."""
    database = Database.open(database_url)

    def add(number: int, connection: Connection) -> None:
        agents.insert(connection, AgentRecord(f"a{number}", "a" * 64, b"", NOW, NOW))
        events.append(connection, [NewEvent(NOW, "AGENT_ENROLLED", f"agents/a{number}")])

    async def write_on(counter: Iterator[int], stopped: threading.Event) -> None:
        while not stopped.is_set():
            await database.write(partial(add, next(counter)))

    counter, stopped = itertools.count(), threading.Event()
    counted: list[int] = []
    writer = threading.Thread(target=lambda: asyncio.run(write_on(counter, stopped)))
    writer.start()
    try:
        counted += [back_up(folder, database_url, tmp_path / f"backup{number}") for number in range(3)]
    finally:
        stopped.set()
        writer.join()
        database.close()
    for number, count in enumerate(counted):
        rows = _described(tmp_path / f"backup{number}")["rows"]
        assert rows.get("agents", 0) == rows.get("events", 0) == count
    assert counted[-1] > counted[0]


def test_nothing_that_is_there_is_written_over(folder: DataFolder, saved: Path, tmp_path: Path, database_url: str) -> None:
    with pytest.raises(Conflict, match="another name"):
        back_up(folder, folder.database_url, saved)
    with pytest.raises(Conflict, match="not empty"):
        restore(saved, folder, in_folder)
    on_database(database_url, fill)
    before = on_database(database_url, everything)
    with pytest.raises(NotPossibleNow, match="database is not empty"):
        restore(saved, DataFolder(tmp_path / "new"), lambda _: database_url)
    assert on_database(database_url, everything) == before
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("url", ["sqlite:////nowhere/hub.db", "postgresql://u:SECRET@127.0.0.1:1/x"])
def test_a_database_that_is_not_there_cannot_be_backed_up(folder: DataFolder, tmp_path: Path, url: str) -> None:
    with pytest.raises(NotPossibleNow, match="database_url") as raised:
        back_up(folder, url, tmp_path / "backup")
    assert "SECRET" not in raised.value.message
    assert not (tmp_path / "backup").exists()


def test_a_folder_that_lacks_a_key_cannot_be_backed_up(folder: DataFolder, tmp_path: Path) -> None:
    on_database(folder.database_url, fill)
    folder.ca.key_path.unlink()
    with pytest.raises(NotPossibleNow, match=r"ca\.key"):
        back_up(folder, folder.database_url, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


def _described(path: Path) -> Any:
    with tarfile.open(path) as archive:
        return json.load(archive.extractfile("contents.json") or io.BytesIO())


def _repack(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """Writes another archive, sound as such."""
    with tarfile.open(path) as archive:
        contents = {member.name: (archive.extractfile(member) or io.BytesIO()).read() for member in archive}
    change(contents)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def _other(path: Path) -> None:
    with tarfile.open(path, "w:gz") as archive:
        archive.add(__file__, "../../etc/passwd")


def _change_a_key(path: Path) -> None:
    _repack(path, lambda contents: contents.update({"ca.key": contents["ca.key"].replace(b"A", b"B")}))


def _lose_rows(path: Path) -> None:
    def lose(contents: dict[str, bytes]) -> None:
        contents["database.jsonl"] = b"".join(contents["database.jsonl"].splitlines(keepends=True)[:-1])
        described = json.loads(contents["contents.json"])
        described["sha256"]["database.jsonl"] = hashlib.sha256(contents["database.jsonl"]).hexdigest()
        contents["contents.json"] = json.dumps(described).encode()

    _repack(path, lose)


DAMAGES = [_cut, _other, _change_a_key, _lose_rows, lambda path: path.write_bytes(b""), Path.unlink]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_backup_that_is_not_whole_is_refused_and_leaves_nothing(saved: Path, tmp_path: Path, damage: Callable[[Path], object]) -> None:
    damage(saved)
    with pytest.raises(InvalidRequest, match="Take another"):
        restore(saved, DataFolder(tmp_path / "new"), in_folder)
    assert sorted(path.name for path in tmp_path.iterdir() if path != saved) == ["hub"]


def test_a_flipped_byte_is_noticed_wherever_it_is(saved: Path, tmp_path: Path) -> None:
    """But in gzip's own header, which says nothing of the content."""
    whole = saved.read_bytes()
    places = random.Random(4).sample(range(10, len(whole)), 60)
    for place in [*places, len(whole) // 2, len(whole) - 1]:
        content = bytearray(whole)
        content[place] ^= 0xFF
        saved.write_bytes(content)
        with pytest.raises(InvalidRequest, match="Take another"):
            restore(saved, DataFolder(tmp_path / "new"), in_folder)
        assert not (tmp_path / "new").exists()
