"""The data folder: made once, mended where something is missing, never changed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from structlog.testing import capture_logs

from contract.errors import InvalidRequest, NotPossibleNow
from hub.fleet.certificates import SERVER_LIFE
from hub.folder import DataFolder, create, renew_server, write_file
from hub.store.database import Database

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def now() -> datetime:
    return NOW


def contents(folder: DataFolder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.path.iterdir()}


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    result = DataFolder(tmp_path / "hub")
    create(result, "seawall.test", ["hub.example"], now)
    return result


def test_what_is_made_is_readable_by_its_owner_alone(folder: DataFolder) -> None:
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.path.iterdir()} == {0o600}


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
@pytest.mark.parametrize("name", ["ca", "server", "operator"])
def test_a_key_that_others_could_read_is_taken_from_them_with_a_word(folder: DataFolder, name: str, mode: int) -> None:
    key = folder.path / f"{name}.key"
    key.chmod(mode)
    with capture_logs() as said:
        getattr(folder, name).load()
    assert key.stat().st_mode & 0o777 == 0o600
    assert [(line["log_level"], line["file"], line["mode"]) for line in said] == [("warning", str(key), f"{mode:04o}")]
    with capture_logs() as said:
        getattr(folder, name).load()
    assert said == []


def test_a_second_time_changes_nothing_whatever_is_asked(folder: DataFolder) -> None:
    before = contents(folder)
    assert create(folder, "other.domain", ["other.example"], now) == []
    assert contents(folder) == before


@pytest.mark.parametrize("missing", ["server.crt", "server.key", "operator.crt", "operator.key", "hub.toml"])
def test_what_is_missing_is_made_and_the_ca_stays(folder: DataFolder, missing: str) -> None:
    before = contents(folder)
    (folder.path / missing).unlink()
    made = {path.name for path in create(folder, "seawall.test", [], now)}
    assert missing in made
    assert set(contents(folder)) == set(before)
    assert contents(folder)["ca.crt"] == before["ca.crt"]


def test_a_new_ca_signs_everything_anew(folder: DataFolder) -> None:
    for path in (folder.ca.key_path, folder.ca.certificate_path):
        path.unlink()
    create(folder, "seawall.test", [], now)
    authority = folder.load_ca("seawall.test", now)
    for pair in (folder.server, folder.operator):
        pair.load()[1].verify_directly_issued_by(authority.certificate)


def test_the_settings_that_are_there_name_the_trust_domain(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.config.write_text('trust_domain = "chosen.example"')
    create(folder, "other.domain", [], now)
    assert folder.load_ca("chosen.example", now).trust_domain == "chosen.example"


def test_a_lost_ca_is_not_replaced_once_agents_hang_on_it(folder: DataFolder) -> None:
    Database.open(folder.database_url).close()
    folder.ca.certificate_path.unlink()
    with pytest.raises(NotPossibleNow, match="Restore both from a backup"):
        create(folder, "seawall.test", [], now)


@pytest.mark.parametrize(("name", "content"), [("ca.crt", b"garbage"), ("ca.key", b"garbage"), ("ca.key", b"")])
def test_a_damaged_ca_is_a_clear_error(folder: DataFolder, name: str, content: bytes) -> None:
    (folder.path / name).write_bytes(content)
    with pytest.raises(NotPossibleNow, match="Restore both from a backup"):
        folder.load_ca("seawall.test", now)


@pytest.mark.parametrize("name", ["server.crt", "server.key", "operator.key"])
def test_a_damaged_leaf_is_a_clear_error_and_can_be_made_anew(folder: DataFolder, name: str) -> None:
    (folder.path / name).write_bytes(b"garbage")
    pair = folder.operator if name.startswith("operator") else folder.server
    with pytest.raises(NotPossibleNow, match="delete both and run: seawall-hub init"):
        pair.read()
    pair.key_path.unlink()
    pair.certificate_path.unlink()
    create(folder, "seawall.test", [], now)
    pair.read()


def test_a_key_of_another_ca_is_a_clear_error(folder: DataFolder) -> None:
    folder.ca.key_path.write_bytes(folder.operator.key_path.read_bytes())
    with pytest.raises(NotPossibleNow, match="do not belong together"):
        folder.load_ca("seawall.test", now)


def test_a_changed_trust_domain_is_a_clear_error(folder: DataFolder) -> None:
    with pytest.raises(NotPossibleNow, match=r"other\.domain"):
        folder.load_ca("other.domain", now)


def test_a_missing_key_says_how_to_make_it(folder: DataFolder) -> None:
    folder.operator.key_path.unlink()
    with pytest.raises(NotPossibleNow, match="seawall-hub init"):
        folder.operator.read()


@pytest.mark.parametrize("domain", ["", "Not Allowed", "x/y", 'a"\nb = "c'])
def test_a_bad_trust_domain_is_refused(tmp_path: Path, domain: str) -> None:
    with pytest.raises(InvalidRequest, match="trust domain"):
        create(DataFolder(tmp_path / "hub"), domain, [], now)


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidRequest, match="cannot be written"):
        create(DataFolder(tmp_path / "file" / "hub"), "seawall.test", [], now)


@pytest.mark.parametrize(("age", "renewed"), [(SERVER_LIFE * 0.4, False), (SERVER_LIFE * 0.6, True), (SERVER_LIFE * 2, True)])
def test_the_servers_certificate_is_renewed_once_half_its_life_is_over(folder: DataFolder, age: timedelta, renewed: bool) -> None:
    before = folder.server.read()
    renew_server(folder, folder.load_ca("seawall.test", lambda: NOW + age))
    after = folder.server.read()
    assert after[0] == before[0]
    assert (after[1] != before[1]) is renewed
    if renewed:
        assert x509.load_pem_x509_certificate(after[1]).not_valid_after_utc == NOW + age + SERVER_LIFE


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "f"
    write_file(file, b"old")
    file.chmod(0o400)
    write_file(file, b"new")
    assert file.read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
