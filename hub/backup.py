"""Backups: one file with the database, the keys and the settings, made while the hub runs.

SQLite's own backup (https://sqlite.org/backup.html) copies a database that is written to as it was at one moment.
"""

import contextlib
import io
import sqlite3
import tarfile
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

from contract.errors import Conflict, InvalidRequest, NotPossibleNow, Reason
from hub.folder import DataFolder, write_file

DATABASE = "hub.db"
FILES = ("hub.toml", "ca.key", "ca.crt", "server.key", "server.crt", "operator.key", "operator.crt")
"""Beside the database."""

ROTATED_FILES = ("outgoing.crt", "former.crt", "bridge.crt")
"""Those as well, where the CA was ever replaced."""

MAX_FILE_BYTES = 1024 * 1024
"""Of the files beside the database: keys and settings are small."""


def back_up(folder: DataFolder, target: Path) -> int:
    """Writes a backup, and reads it again. It holds the private keys: keep it as safe as the folder.

    Args:
        folder: of a hub, running or not.
        target: the file; made anew, for nobody else to read.

    Returns:
        how many agents are in it.

    Raises:
        Conflict: CONFIG_INVALID, the file is there already.
        NotPossibleNow: CONFIG_INVALID, the folder holds no whole hub with its own database, or the file cannot be written.
    """
    if target.exists():
        raise Conflict(Reason.CONFIG_INVALID, f"{target} is there already: choose another name.")
    folder.settle()
    with TemporaryDirectory(dir=target.parent if target.parent.is_dir() else None) as scratch:
        copy = Path(scratch) / DATABASE
        _copy_database(folder.database, copy)
        try:
            write_file(target, _packed(folder, copy))
        except OSError as error:
            raise _impossible(f"{error.filename}: {error.strerror}") from error
    with TemporaryDirectory() as scratch:
        return _unpack(target, Path(scratch))


def restore(source: Path, folder: DataFolder) -> int:
    """Puts a backup into a folder that is empty or not there.

    Args:
        source: from `back_up`.
        folder: where a hub is to run on it.

    Returns:
        how many agents are in it.

    Raises:
        Conflict: CONFIG_INVALID, the folder is not empty.
        InvalidRequest: CONFIG_INVALID, the file is no whole backup. Nothing is left in the folder.
    """
    if folder.path.exists() and any(folder.path.iterdir()):
        raise Conflict(Reason.CONFIG_INVALID, f"{folder.path} is not empty: a backup is restored into an empty folder.")
    folder.path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.path.parent) as scratch:
        made = Path(scratch) / "data"
        made.mkdir(mode=0o700)
        agents = _unpack(source, made)
        made.replace(folder.path)
    return agents


def _copy_database(database: Path, copy: Path) -> None:
    if not database.exists():
        raise _impossible(f"{database} is not there; a database elsewhere (database_url) is backed up with its own tools")
    try:
        with contextlib.closing(sqlite3.connect(database)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise _impossible(f"{database} cannot be read") from error


def _packed(folder: DataFolder, database: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(database, DATABASE)
        for name in (*FILES, *(name for name in ROTATED_FILES if (folder.path / name).exists())):
            archive.add(folder.path / name, name)
    return packed.getvalue()


def _unpack(source: Path, into: Path) -> int:
    """Writes the files of a backup, and looks through the database. Returns how many agents there are."""
    try:
        with tarfile.open(source) as archive:
            for name in (DATABASE, *FILES, *(name for name in ROTATED_FILES if name in archive.getnames())):
                _extract(archive, name, into)
    except (OSError, EOFError, tarfile.TarError, zlib.error, KeyError) as error:
        raise InvalidRequest(Reason.CONFIG_INVALID, f"{source} is no whole backup of a hub. Take another one.") from error
    return _checked(source, into / DATABASE)


def _extract(archive: tarfile.TarFile, name: str, into: Path) -> None:
    """By its known name alone: nothing in the archive says where it goes."""
    member = archive.getmember(name)
    content = archive.extractfile(member)
    if content is None or (name != DATABASE and member.size > MAX_FILE_BYTES):
        raise KeyError(name)
    write_file(into / name, content.read())


def _checked(source: Path, database: Path) -> int:
    try:
        with contextlib.closing(sqlite3.connect(database)) as connection:
            (found,) = connection.execute("PRAGMA integrity_check").fetchone()
            (agents,) = connection.execute("SELECT count(*) FROM agents").fetchone()
    except sqlite3.Error as error:
        raise InvalidRequest(Reason.CONFIG_INVALID, f"The database in {source} is damaged. Take another backup.") from error
    if found != "ok":
        raise InvalidRequest(Reason.CONFIG_INVALID, f"The database in {source} is damaged. Take another backup.")
    return int(agents)


def _impossible(why: str) -> NotPossibleNow:
    return NotPossibleNow(Reason.CONFIG_INVALID, f"The backup cannot be made: {why}.")
