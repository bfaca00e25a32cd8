"""The identity on the disk."""

import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agent.identity.files import Identity, IdentityFolder, write_private
from contract.errors import NotPossibleNow, Reason
from tests.fakes.tls import Authority

AUTHORITY = Authority()
PAIR = AUTHORITY.issue()
IDENTITY = Identity("a1", "example.org", "127.0.0.1:7444", PAIR.key_pem, PAIR.certificate_pem, AUTHORITY.pem)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "identity"


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def test_an_identity_is_read_as_it_was_written(folder: Path) -> None:
    assert not IdentityFolder(folder).enrolled
    IdentityFolder(folder).write(IDENTITY)
    assert IdentityFolder(folder).enrolled
    assert IdentityFolder(folder).read() == IDENTITY


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_nobody_else_may_read_it_whatever_the_umask(folder: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        IdentityFolder(folder).write(IDENTITY)
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert modes(folder) == {"identity.json": 0o600}


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_key_that_others_could_read_is_taken_from_them_with_a_word(folder: Path, mode: int) -> None:
    identities = IdentityFolder(folder)
    identities.write(IDENTITY)
    identities.next_key()
    for path in folder.iterdir():
        path.chmod(mode)
    with capture_logs() as said:
        assert identities.read() == IDENTITY
        identities.next_key()
    assert modes(folder) == {"identity.json": 0o600, "next-key.pem": 0o600}
    assert [(line["log_level"], line["mode"]) for line in said] == [("warning", f"{mode:04o}")] * 2
    with capture_logs() as said:
        identities.read()
    assert said == []


def test_it_is_replaced_whole_and_what_a_power_cut_left_is_made_private(folder: Path) -> None:
    IdentityFolder(folder).write(IDENTITY)
    half = folder / "identity.json.new"
    half.write_text('{"agent_id": "a2", "key_p')
    half.chmod(0o644)
    assert IdentityFolder(folder).read() == IDENTITY
    newer = replace(IDENTITY, agent_id="a2")
    IdentityFolder(folder).write(newer)
    assert IdentityFolder(folder).read() == newer
    assert modes(folder) == {"identity.json": 0o600}


def test_a_link_in_place_of_the_new_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("kept")
    (tmp_path / "secret.new").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic link"):
        write_private(tmp_path / "secret", b"key")
    assert (tmp_path / "victim").read_text() == "kept"


@pytest.mark.parametrize(
    "change",
    [
        {"agent_id": "../etc"},
        {"agent_id": 7},
        {"hub_address": None, "key_pem": None},
        {"key_pem": "no key"},
        {"certificate_pem": "no certificate"},
        {"ca_pem": ""},
        {"key_pem": AUTHORITY.issue().key_pem.decode()},
    ],
)
def test_a_damaged_identity_says_how_to_get_a_new_one_and_shows_no_key(folder: Path, change: dict[str, object]) -> None:
    IdentityFolder(folder).write(IDENTITY)
    file = folder / "identity.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(NotPossibleNow, match="enroll --again") as caught:
        IdentityFolder(folder).read()
    assert caught.value.reason is Reason.CERTIFICATE_INVALID
    assert "PRIVATE" not in caught.value.message


@pytest.mark.parametrize("content", [b"", b"[]", b'"text"', b"\xff\xfe", b"{}", b"null"])
def test_what_is_no_identity_is_refused(folder: Path, content: bytes) -> None:
    folder.mkdir(parents=True)
    (folder / "identity.json").write_bytes(content)
    with pytest.raises(NotPossibleNow):
        IdentityFolder(folder).read()


def test_a_place_that_cannot_be_written_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotPossibleNow, match="cannot be written"):
        IdentityFolder(tmp_path / "file" / "identity").write(IDENTITY)


def test_the_key_is_not_shown_where_an_identity_is() -> None:
    assert "PRIVATE" not in repr(IDENTITY)


def test_the_certificates_end_is_told_with_its_zone() -> None:
    assert IDENTITY.expire_time.tzinfo is not None


def test_the_next_key_stays_the_same_until_its_certificate_is_written(folder: Path) -> None:
    identities = IdentityFolder(folder)
    identities.write(IDENTITY)
    first, again = identities.next_key(), IdentityFolder(folder).next_key()
    assert first.public_key() == again.public_key()
    assert modes(folder) == {"identity.json": 0o600, "next-key.pem": 0o600}
    identities.renew(replace(IDENTITY, agent_id="a2"))
    assert modes(folder) == {"identity.json": 0o600}
    assert identities.next_key().public_key() != first.public_key()


def test_the_member_key_stays_the_same_over_renewals_and_enrolments(folder: Path) -> None:
    identities = IdentityFolder(folder)
    identities.write(IDENTITY)
    assert not identities.has_member_key
    first = identities.member_key().public_key()
    assert modes(folder) == {"identity.json": 0o600, "member-key.pem": 0o600}
    identities.next_key()
    identities.renew(replace(IDENTITY, agent_id="a2"))
    identities.write(replace(IDENTITY, agent_id="a3"))
    assert IdentityFolder(folder).member_key().public_key() == first
    assert identities.has_member_key


def test_a_damaged_member_key_is_not_replaced_and_says_what_follows_if_it_is(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "member-key.pem").write_text("no key")
    with pytest.raises(NotPossibleNow, match=r"remove member-key\.pem\. Rounds are without this device"):
        IdentityFolder(folder).member_key()
    assert (folder / "member-key.pem").read_text() == "no key"


@pytest.mark.parametrize("content", ["", "no key"])
def test_a_damaged_next_key_says_what_to_remove(folder: Path, content: str) -> None:
    folder.mkdir(parents=True)
    (folder / "next-key.pem").write_text(content)
    with pytest.raises(NotPossibleNow, match=r"remove next-key\.pem"):
        IdentityFolder(folder).next_key()


def test_an_identity_of_an_earlier_version_is_read(folder: Path) -> None:
    IdentityFolder(folder).write(IDENTITY)
    content = json.loads((folder / "identity.json").read_text())
    del content["enrollment_address"]
    (folder / "identity.json").write_text(json.dumps(content))
    assert IdentityFolder(folder).read() == IDENTITY
