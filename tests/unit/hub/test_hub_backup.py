"""Backups: what cannot be made or restored is refused, and leaves nothing behind."""

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from contract.errors import Conflict, InvalidRequest, NotPossibleNow
from hub.backup import back_up, restore
from hub.clock import utc_now
from hub.folder import DataFolder, create
from hub.store.database import Database


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    result = DataFolder(tmp_path / "hub")
    create(result, "seawall.test", [], utc_now)
    Database.open(result.database_url).close()
    return result


@pytest.fixture
def saved(folder: DataFolder, tmp_path: Path) -> Path:
    target = tmp_path / "backup"
    assert back_up(folder, target) == 0
    return target


def test_every_file_comes_back_as_it_was_for_its_owner_alone(folder: DataFolder, saved: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    assert restore(saved, DataFolder(tmp_path / "new")) == 0
    for path in (tmp_path / "new").iterdir():
        assert path.stat().st_mode & 0o077 == 0
        assert path.name == "hub.db" or path.read_bytes() == (folder.path / path.name).read_bytes()
    assert {path.name for path in (tmp_path / "new").iterdir()} >= {"hub.db", "hub.toml", "ca.key", "ca.crt", "server.key", "operator.key"}


def test_nothing_that_is_there_is_written_over(folder: DataFolder, saved: Path) -> None:
    with pytest.raises(Conflict, match="another name"):
        back_up(folder, saved)
    with pytest.raises(Conflict, match="not empty"):
        restore(saved, folder)


def test_a_folder_without_its_own_database_cannot_be_backed_up(tmp_path: Path) -> None:
    with pytest.raises(NotPossibleNow, match="database_url"):
        back_up(DataFolder(tmp_path / "nothing"), tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def _other(path: Path) -> None:
    with tarfile.open(path, "w:gz") as archive:
        archive.add(__file__, "../../etc/passwd")


def _damage_the_database(path: Path) -> None:
    names = ("hub.toml", "ca.key", "ca.crt", "server.key", "server.crt", "operator.key", "operator.crt")
    with tarfile.open(path) as archive:
        archive.extractall(path.parent / "unpacked", filter="data")
    (path.parent / "unpacked" / "hub.db").write_bytes(b"no database")
    with tarfile.open(path, "w:gz") as archive:
        for name in (*names, "hub.db"):
            archive.add(path.parent / "unpacked" / name, name)


@pytest.mark.parametrize("damage", [_cut, _flip, _other, _damage_the_database, lambda path: path.write_bytes(b""), Path.unlink])
def test_a_backup_that_is_not_whole_is_refused_and_leaves_nothing(saved: Path, tmp_path: Path, damage: Callable[[Path], object]) -> None:
    damage(saved)
    with pytest.raises(InvalidRequest, match="Take another"):
        restore(saved, DataFolder(tmp_path / "new"))
    assert not (tmp_path / "new").exists()
