"""The files of a CA rotation: every step is whole or not begun, wherever it is cut off."""

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from contract.errors import InvalidRequest, NotPossibleNow
from hub.backup import back_up, restore
from hub.fleet.authorities import Trust
from hub.fleet.certificates import spiffe_uris
from hub.folder import DataFolder, create
from hub.rotation import finish, rotate
from hub.store.database import Database
from tests.fakes.permissions import closed_to_us

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
COMEBACK = timedelta(days=120)


def now() -> datetime:
    return NOW


class PowerCut(Exception):
    """Raised where the power fails."""


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    result = DataFolder(tmp_path / "hub")
    create(result, "seawall.test", ["hub.example"], now)
    return result


def trust(folder: DataFolder) -> Trust:
    return folder.load_trust("seawall.test", now)


def test_a_new_ca_issues_and_the_old_one_is_trusted_and_its_key_is_gone(folder: DataFolder) -> None:
    before, key = trust(folder), folder.ca.key_path.read_bytes()
    after = rotate(folder, before, COMEBACK)
    assert trust(folder).key_hashes == after.key_hashes == (after.issuer.key_hash, before.issuer.key_hash)
    assert after.issuer.key_hash != before.issuer.key_hash
    assert key not in [path.read_bytes() for path in folder.path.iterdir()]


def test_server_and_operator_keep_keys_and_names_under_the_new_ca(folder: DataFolder) -> None:
    pairs = (folder.server, folder.operator)
    before = [pair.load() for pair in pairs]
    issuer = rotate(folder, trust(folder), COMEBACK).issuer
    for pair, (key, certificate) in zip(pairs, before, strict=True):
        renewed_key, renewed = pair.load()
        renewed.verify_directly_issued_by(issuer.certificate)
        assert renewed_key.private_numbers() == key.private_numbers()
        names = x509.SubjectAlternativeName
        assert renewed.extensions.get_extension_for_class(names) == certificate.extensions.get_extension_for_class(names)
    assert spiffe_uris(folder.operator.load()[1]) == ["spiffe://seawall.test/operators/admin"]


def test_afterwards_the_new_one_alone_is_trusted_and_the_old_one_remembered(folder: DataFolder) -> None:
    old = trust(folder).issuer.certificate
    rotate(folder, trust(folder), COMEBACK)
    after = finish(folder, trust(folder))
    assert trust(folder).key_hashes == after.key_hashes == (after.issuer.key_hash,)
    assert trust(folder).former == (old,)


def test_a_second_rotation_waits_for_the_end_of_the_first(folder: DataFolder) -> None:
    with pytest.raises(NotPossibleNow, match="seawall-hub ca rotate"):
        finish(folder, trust(folder))
    rotate(folder, trust(folder), COMEBACK)
    with pytest.raises(NotPossibleNow, match="seawall-hub ca finish"):
        rotate(folder, trust(folder), COMEBACK)


def test_all_files_are_their_owners_alone(folder: DataFolder) -> None:
    rotate(folder, trust(folder), COMEBACK)
    finish(folder, trust(folder))
    assert {path.stat().st_mode & 0o777 for path in folder.path.iterdir()} == {0o600}


def test_wherever_the_power_fails_all_of_the_old_or_all_of_the_new_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = []
    for survived in itertools.count():
        folder = DataFolder(tmp_path / str(survived))
        create(folder, "seawall.test", [], now)
        before = trust(folder).key_hashes
        with monkeypatch.context() as patch:
            _cut_power(patch, survived)
            try:
                rotate(folder, trust(folder), COMEBACK)
            except PowerCut:
                is_cut = True
            else:
                is_cut = False
        assert create(folder, "seawall.test", [], now) == []
        after = trust(folder)
        for pair in (folder.server, folder.operator):
            pair.load()[1].verify_directly_issued_by(after.issuer.certificate)
        outcomes.append(before == after.key_hashes)
        assert outcomes[-1] or after.key_hashes[1:] == before
        if not is_cut:
            break
        if outcomes[-1]:
            rotate(folder, after, COMEBACK)
        finish(folder, trust(folder))
    assert outcomes == sorted(outcomes, reverse=True)
    assert set(outcomes) == {True, False}


def _cut_power(patch: pytest.MonkeyPatch, survived: int) -> None:
    """So many files are renamed, then no more."""
    left = itertools.count(survived, -1)
    for name in ("rename", "replace"):
        real = getattr(Path, name)

        def cut(path: Path, target: Path, real: object = real) -> Path:
            if next(left) <= 0:
                raise PowerCut
            return real(path, target)  # type: ignore[operator,no-any-return]  # the real method

        patch.setattr(Path, name, cut)


def test_a_running_hub_reads_nothing_while_files_are_being_replaced(folder: DataFolder) -> None:
    before = folder.stamp()
    folder.changes.mkdir()
    assert folder.stamp() is None
    folder.settle()
    assert folder.stamp() == before
    rotate(folder, trust(folder), COMEBACK)
    assert folder.stamp() not in (None, before)


@pytest.mark.parametrize("name", ["outgoing.crt", "former.crt", "bridge.crt"])
def test_a_damaged_certificate_is_a_clear_error(folder: DataFolder, name: str) -> None:
    (folder.path / name).write_bytes(b"garbage")
    with pytest.raises(NotPossibleNow, match="Restore it from a backup"):
        trust(folder)


def test_a_backup_holds_what_a_rotation_has_left(folder: DataFolder, tmp_path: Path) -> None:
    Database.open(folder.database_url).close()
    for number in range(2):
        rotate(folder, trust(folder), COMEBACK)
        finish(folder, trust(folder))
        back_up(folder, folder.database_url, tmp_path / f"backup-{number}")
    rotate(folder, trust(folder), COMEBACK)
    back_up(folder, folder.database_url, tmp_path / "backup")
    restored = DataFolder(tmp_path / "restored")
    restore(tmp_path / "backup", restored, lambda _: "")
    assert trust(restored).key_hashes == trust(folder).key_hashes
    assert trust(restored).former == trust(folder).former
    assert trust(restored).bridges == trust(folder).bridges
    assert len(trust(restored).former) == 2


def test_a_place_that_cannot_be_written_is_a_clear_error_and_nothing_has_changed(folder: DataFolder) -> None:
    before = trust(folder).key_hashes
    (folder.path / "rotation.new").touch()
    with pytest.raises(InvalidRequest, match=r"rotation\.new cannot be written"):
        rotate(folder, trust(folder), COMEBACK)
    assert trust(folder).key_hashes == before


def test_a_folder_of_another_user_is_a_clear_error(folder: DataFolder) -> None:
    with closed_to_us(folder.path), pytest.raises(NotPossibleNow, match="as the hub's user"):
        folder.settle()
