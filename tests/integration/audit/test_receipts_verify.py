"""`seawall-agent receipts verify` on a device that a hub has witnessed: whatever is done to the log, is found, and named."""

import asyncio
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from agent.__main__ import app
from agent.identity.attempts import Attempts
from agent.identity.enrollment import enroll
from agent.identity.files import Identity
from agent.state import StateFolder
from agent.store.heads import read_head
from contract.tree_heads import sign_head, witness_head
from hub.clock import utc_now
from hub.folder import DataFolder, create
from tests.fakes.hub_process import HubProcess, serving
from tests.integration.audit.logs import device_key, fill_state, moved, now, on_disk, rewrite

Tamper = Callable[[Path, Identity], None]


@dataclass(frozen=True)
class Device:
    """A device's state folder."""

    path: Path

    @property
    def state(self) -> StateFolder:
        return StateFolder(self.path)

    def run(self, *arguments: str) -> Result:
        runner = CliRunner(env={"SEAWALL_AGENT_STATE_FOLDER": str(self.path), "SEAWALL_AGENT_CONFIG": None})
        return runner.invoke(app, ["receipts", *arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    data = tmp_path_factory.mktemp("witness") / "hub"
    create(DataFolder(data), "seawall.test", [], utc_now)
    with serving(data) as process:
        yield process


@pytest.fixture(scope="module")
def witnessed(hub: HubProcess, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve receipts; the hub has witnessed 4, 9 and 12."""
    state = StateFolder(tmp_path_factory.mktemp("device") / "state")
    attempts = Attempts(state.identity.path)
    state.identity.write(enroll(hub.join_token(), hub.enrollment, hub.mtls, "plant-7", attempts.begin))
    asyncio.run(fill_state(state, 4, 5, 3))
    return state.path


@pytest.fixture
def device(witnessed: Path, tmp_path: Path) -> Device:
    shutil.copytree(witnessed, tmp_path / "state")
    return Device(tmp_path / "state")


def flip_in_receipt(path: Path, _: Identity) -> None:
    with sqlite3.connect(path) as connection:
        (text,) = connection.execute("SELECT CAST(receipt AS BLOB) FROM receipts WHERE leaf = 5").fetchone()
        flipped = text[:40] + bytes([text[40] ^ 0x80]) + text[41:]  # which is no UTF-8 any more
        connection.execute("UPDATE receipts SET receipt = CAST(? AS TEXT) WHERE leaf = 5", [flipped])
    connection.close()


def reorder(path: Path, _: Identity) -> None:
    on_disk(
        path,
        "UPDATE receipts SET leaf = -1 WHERE leaf = 2",
        "UPDATE receipts SET leaf = 2 WHERE leaf = 7",
        "UPDATE receipts SET leaf = 7 WHERE leaf = -1",
    )


def cut_off(path: Path, _: Identity) -> None:
    """The heads stay."""
    on_disk(path, "DELETE FROM receipts WHERE leaf >= 10", "DELETE FROM receipt_nodes WHERE (position + 1) << level > 10")


def cut_off_with_heads(path: Path, identity: Identity) -> None:
    cut_off(path, identity)
    on_disk(path, "DELETE FROM receipt_heads WHERE size > 10")


def sign_by_itself(path: Path, identity: Identity) -> None:
    """A witness of one's own making."""
    key = device_key(identity)
    with sqlite3.connect(path) as connection:
        connection.row_factory = sqlite3.Row
        row = dict(connection.execute("SELECT * FROM receipt_heads WHERE size = 9").fetchone())
        witness = witness_head(key, read_head(row).signed, now().replace(microsecond=0))
        connection.execute(
            "UPDATE receipt_heads SET witness_time = ?, witness_key = ?, witness_signature = ? WHERE size = 9",
            [witness.time.isoformat(timespec="milliseconds"), witness.public_key, witness.signature],
        )
    connection.close()


def remove_the_oldest_with_their_heads(path: Path, _: Identity) -> None:
    on_disk(path, "DELETE FROM receipts WHERE leaf < 10", "DELETE FROM receipt_heads WHERE size < 12")


def remove_the_oldest_and_sign_the_rest_anew(path: Path, identity: Identity) -> None:
    """As an agent of an earlier version would, whose heads name none before them."""
    rewrite(path, identity, lambda text: text)
    remove_the_oldest_with_their_heads(path, identity)


def remove_all_heads(path: Path, _: Identity) -> None:
    on_disk(path, "DELETE FROM receipts WHERE leaf < 10", "DELETE FROM receipt_heads")


def put_another_head_there(path: Path, identity: Identity) -> None:
    """One of the size of a true one, signed with the device's key."""
    key = device_key(identity)
    with sqlite3.connect(path) as connection:
        connection.row_factory = sqlite3.Row
        row = dict(connection.execute("SELECT * FROM receipt_heads WHERE size = 9").fetchone())
        signed = sign_head(key, replace(read_head(row).signed.head, time=now().replace(microsecond=0)))
        connection.execute(
            "UPDATE receipt_heads SET time = ?, signature = ?, witness_time = NULL WHERE size = 9",
            [signed.head.time.isoformat(timespec="milliseconds"), signed.signature],
        )
    connection.close()


def bend(text: str) -> str:
    return text.replace('"data_class":"public"', '"data_class":"internal"')


CASES: dict[str, tuple[Tamper, str, bool]] = {
    "a flipped bit in a receipt": (flip_in_receipt, r"receipt 5 \(receipt-p5\) is not the one that was logged", True),
    "another receipt's text": (
        lambda path, _: on_disk(path, "UPDATE receipts SET receipt = (SELECT receipt FROM receipts WHERE leaf = 1) WHERE leaf = 3"),
        r"receipt 3 \(receipt-p3\) is not the one that was logged",
        True,
    ),
    "another client's name": (
        lambda path, _: on_disk(path, "UPDATE receipts SET client = 'other' WHERE leaf = 3"),
        r"receipt 3 \(receipt-p3\) is shown under another id or client",
        True,
    ),
    "a removed receipt": (
        lambda path, _: on_disk(path, "DELETE FROM receipts WHERE leaf = 6"),
        "number 6 was removed",
        True,
    ),
    "the newest receipt removed": (
        lambda path, _: on_disk(path, "DELETE FROM receipts WHERE leaf = 11"),
        "number 11 was removed",
        True,
    ),
    "the oldest receipts removed": (
        lambda path, _: on_disk(path, "DELETE FROM receipts WHERE leaf < 6"),
        "receipts 4 to 5 are gone, and are younger than receipt_seconds",
        True,
    ),
    "every receipt removed": (
        lambda path, _: on_disk(path, "DELETE FROM receipts"),
        "receipts 4 to 11 are gone, and are younger than receipt_seconds",
        True,
    ),
    "reordered receipts": (reorder, r"receipt 2 \(receipt-p7\) is not the one that was logged", True),
    "a receipt added beside the log": (
        lambda path, _: on_disk(
            path,
            "INSERT INTO receipts (receipt_id, client, receipt, create_time) "
            "SELECT 'x', client, receipt, create_time FROM receipts LIMIT 1",
        ),
        "receipt x stands in no leaf",
        True,
    ),
    "a leaf changed with its receipt": (
        lambda path, _: on_disk(path, "UPDATE receipt_nodes SET hash = zeroblob(32) WHERE level = 0 AND position = 1"),
        "its first 4 receipts are not those of the head",
        True,
    ),
    "a leaf removed": (
        lambda path, _: on_disk(path, "DELETE FROM receipt_nodes WHERE level = 0 AND position = 3"),
        "leaves 3 to 3 are missing from the tree",
        True,
    ),
    "an inner node changed": (
        lambda path, _: on_disk(path, "UPDATE receipt_nodes SET hash = zeroblob(32) WHERE level = 2 AND position = 1"),
        "the tree over the 4 leaves up to 7 is not what they come to",
        True,
    ),
    "cut off": (cut_off, "the log was cut off: a head of .* says 12 receipts, and 10 are here", True),
    "cut off, heads and all": (cut_off_with_heads, "the log was cut off: the hub has witnessed 12 receipts, .* and 10 are here", False),
    "rewritten and signed anew": (
        lambda path, identity: rewrite(path, identity, bend),
        "the log was rewritten: its first 12 receipts are not those that the hub has witnessed",
        False,
    ),
    "rewritten, shorter, and signed anew": (
        lambda path, identity: rewrite(path, identity, bend, keep=9),
        "the log was cut off: the hub has witnessed 12 receipts",
        False,
    ),
    "a head's signature": (
        lambda path, _: on_disk(path, "UPDATE receipt_heads SET signature = zeroblob(70) WHERE size = 9"),
        "the head of 9 receipts, .* is not signed by the key that it names",
        True,
    ),
    "a head's time": (
        lambda path, _: on_disk(path, "UPDATE receipt_heads SET time = '2020-01-01T00:00:00.000+00:00' WHERE size = 9"),
        "the head of 9 receipts, .* is not signed by the key that it names",
        True,
    ),
    "a head that cannot be read": (
        lambda path, _: on_disk(path, "UPDATE receipt_heads SET time = 'then' WHERE size = 9"),
        "the head of 9 receipts cannot be read",
        True,
    ),
    "the hub's word bent": (
        lambda path, _: on_disk(path, "UPDATE receipt_heads SET witness_time = time WHERE size = 9"),
        "the hub's word for the head of 9 receipts, .* is not signed by the key",
        True,
    ),
    "the oldest receipts removed, and all heads of their time": (
        remove_the_oldest_with_their_heads,
        "the head of 9 receipts, .* is missing, and is younger than receipt_seconds",
        True,
    ),
    "the oldest receipts removed, and the heads that are left signed anew": (
        remove_the_oldest_and_sign_the_rest_anew,
        "the heads were rewritten: its head of 12 receipts is another than the one that was witnessed",
        False,
    ),
    "the oldest receipts removed, and every head": (
        remove_all_heads,
        "the head of 9 receipts, .* is missing, and is younger than receipt_seconds",
        False,
    ),
    "a head removed from between": (
        lambda path, _: on_disk(path, "DELETE FROM receipt_heads WHERE size = 9"),
        "the head of 9 receipts, .* is missing",
        True,
    ),
    "another head in a head's place": (put_another_head_there, "the head of 9 receipts, .* is not the one that the head of 12 names", True),
    "what a head says of the one before": (
        lambda path, _: on_disk(path, "UPDATE receipt_heads SET chain = replace(chain, '\"size\":4', '\"size\":3') WHERE size = 9"),
        "the head of 9 receipts, .* is not signed by the key that it names",
        True,
    ),
    "what a head says of the one before, taken out": (
        lambda path, _: on_disk(path, "UPDATE receipt_heads SET chain = NULL WHERE size = 12"),
        "the head of 12 receipts, .* names none before it, as older ones do",
        True,
    ),
    "a hub's word of one's own making": (sign_by_itself, "the hub's word for the head of 9 receipts, .* by no key of this hub", False),
}


def test_a_log_that_nobody_touched_is_found_whole(device: Device) -> None:
    result = device.run("verify")
    assert result.exit_code == 0
    assert "12 receipts were logged, 12 are kept; 3 heads, 3 witnessed: all is as it was signed." in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize("case", CASES)
def test_what_was_done_to_the_log_is_found_and_named(device: Device, case: str) -> None:
    tamper, expected, is_found_offline = CASES[case]
    tamper(device.state.database, device.state.identity.read())
    result = device.run("verify")
    assert result.exit_code == 1
    assert re.search(expected, result.stdout), result.stdout
    assert all(line for line in result.stdout.splitlines())
    assert device.run("verify", "--offline").exit_code == (1 if is_found_offline else 0)


def test_a_log_that_was_removed_with_its_store_is_missed(device: Device) -> None:
    for file in device.state.path.glob("agent.db*"):
        file.unlink()
    result = device.run("verify")
    assert (result.exit_code, result.stdout) == (1, "the whole log is gone: the hub has witnessed 12 receipts, and none is here\n")


def test_what_a_bend_touches_not_is_not_blamed(device: Device) -> None:
    flip_in_receipt(device.state.database, device.state.identity.read())
    assert len(device.run("verify").stdout.splitlines()) == 1


def test_a_hub_that_is_away_is_said_and_is_no_finding(device: Device) -> None:
    device.state.identity.write(moved(device.state.identity.read(), "127.0.0.1:9"))
    result = device.run("verify")
    assert result.exit_code == 0
    assert "not checked: what the hub has witnessed" in result.stderr


def test_a_device_that_is_not_enrolled_has_an_unsigned_log_that_is_still_checked(device: Device) -> None:
    shutil.rmtree(device.state.identity.path)
    on_disk(
        device.state.database,
        "UPDATE receipt_heads SET public_key = x'', signature = x'', witness_time = NULL, witness_key = NULL, witness_signature = NULL",
    )
    result = device.run("verify")
    assert (result.exit_code, "is not enrolled" in result.stderr) == (0, True)
    on_disk(device.state.database, "UPDATE receipt_heads SET root = zeroblob(32) WHERE size = 9")
    assert device.run("verify").exit_code == 1


def test_receipts_are_shown_as_they_were(device: Device) -> None:
    result = device.run("--count", "1", "--json")
    assert (result.exit_code, '"prompt_id": "p11"' in result.stdout, "format_version" in result.stdout) == (0, True, False)
    assert "public" in device.run().stdout


def test_a_proof_is_checked_without_the_device(device: Device, tmp_path: Path) -> None:
    made = device.run("prove", "receipt-p5")
    file = tmp_path / "proof.json"
    file.write_text(made.stdout)
    result = Device(tmp_path / "elsewhere").run("verify", "--proof", str(file))
    assert result.exit_code == 0
    assert re.search(
        r"receipt 5 of agents/plant-7, .*: signed with the key [0-9a-f]{64}, witnessed by the hub's key [0-9a-f]{64}", result.stdout
    )
    file.write_text(made.stdout.replace("receipt-p5", "receipt-p6"))
    result = Device(tmp_path / "elsewhere").run("verify", "--proof", str(file))
    assert (result.exit_code, "the path does not lead from the receipt" in result.stdout) == (1, True)


def test_every_identity_is_its_own(device: Device) -> None:
    """A hub is asked for the log of the certificate alone."""
    identity = device.state.identity.read()
    device.state.identity.write(replace(identity, agent_id="plant-8"))
    result = device.run("verify")
    assert "not checked: what the hub has witnessed" in result.stderr
