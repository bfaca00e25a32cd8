"""Backups: one file with the database, the keys and the settings, made while the hub runs.

The database is written as lines, as it was at one moment, whichever engine holds it: a backup from SQLite can be restored into
PostgreSQL, and the other way round. A list of SHA-256 sums is in the file, and nothing is taken out of it before all of it was read and
compared.
"""

import gzip
import hashlib
import json
import os
import shutil
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import URL, Engine
from sqlalchemy.exc import SQLAlchemyError

from contract.errors import Conflict, InvalidRequest, NotPossibleNow, Reason
from hub.folder import DataFolder, write_file
from hub.store.dump import Unusable, newest, read_lines, write_lines
from hub.store.engines import create_engine

CONTENTS = "contents.json"
LINES = "database.jsonl"
FILES = ("hub.toml", "ca.key", "ca.crt", "server.key", "server.crt", "operator.key", "operator.crt")
"""Beside the database."""

MAYBE_FILES = ("online.key", "outgoing.crt", "former.crt", "bridge.crt")
"""Those as well, where they are: the key of snapshots, and what is left of a CA that was replaced."""

FORMAT = 1
MAX_FILE_BYTES = 1024 * 1024
"""Of the files beside the database: keys and settings are small."""


def back_up(folder: DataFolder, database_url: str | URL, target: Path) -> int:
    """Writes a backup, and restores it to see that it is good. It holds the private keys: keep it as safe as the folder.

    Args:
        folder: of a hub, running or not.
        database_url: of its database.
        target: the file; made anew, for nobody else to read.

    Returns:
        how many agents are in it.

    Raises:
        Conflict: CONFIG_INVALID, the file is there already.
        NotPossibleNow: CONFIG_INVALID, there is no whole hub, its database cannot be read, or the file cannot be written.
    """
    if target.exists():
        raise Conflict(Reason.CONFIG_INVALID, f"{target} is there already: choose another name.")
    folder.settle()
    try:
        with TemporaryDirectory(dir=target.parent, prefix=".seawall-backup-") as scratch:
            made, copy = Path(scratch) / "made", DataFolder(Path(scratch) / "copy")
            rows = _write_lines(database_url, Path(scratch) / LINES)
            _pack(folder, Path(scratch) / LINES, rows, made)
            copy.path.mkdir()
            found = _restore(made, copy, lambda _: "")
            made.rename(target)
    except OSError as error:
        raise _impossible(f"{error.filename}: {error.strerror}") from error
    return found["agents"]


def restore(source: Path, folder: DataFolder, database_url_of: Callable[[DataFolder], str]) -> int:
    """Puts a backup into a folder that is empty or not there, and its rows into a database that is empty.

    Args:
        source: from `back_up`.
        folder: where a hub is to run on it.
        database_url_of: returns which database the settings in a folder name; empty: SQLite in the folder.

    Returns:
        how many agents are in it.

    Raises:
        Conflict: CONFIG_INVALID, the folder is not empty.
        InvalidRequest: CONFIG_INVALID, the file is no whole backup. Nothing is left in the folder.
        NotPossibleNow: CONFIG_INVALID, the database cannot be written, or is not empty.
    """
    if folder.path.exists() and any(folder.path.iterdir()):
        raise Conflict(Reason.CONFIG_INVALID, f"{folder.path} is not empty: a backup is restored into an empty folder.")
    folder.path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.path.parent, prefix=".seawall-restore-") as scratch:
        made = DataFolder(Path(scratch) / "data")
        made.path.mkdir(mode=0o700)
        rows = _restore(source, made, database_url_of)
        made.path.replace(folder.path)
    return rows["agents"]


def _write_lines(database_url: str | URL, lines: Path) -> dict[str, int]:
    """Returns how many rows there are of each table."""
    try:
        engine = create_engine(database_url)
        if engine.dialect.name == "sqlite" and not Path(engine.url.database or "").is_file():
            raise _impossible(f"{engine.url.database} is not there; is database_url right?")
        try:
            return _dump(engine, lines)
        finally:
            engine.dispose()
    except Unusable as error:
        raise _impossible(str(error)) from error
    except (SQLAlchemyError, ImportError) as error:
        raise _impossible(f"the database cannot be read ({type(error).__name__}): check database_url") from error


def _dump(engine: Engine, lines: Path) -> dict[str, int]:
    rows: Counter[str] = Counter()
    with _private(lines) as file, closing(write_lines(engine)) as found:
        for table, line in found:
            rows[table] += 1
            file.write(line.encode() + b"\n")
    return dict(rows)


def _pack(folder: DataFolder, lines: Path, rows: dict[str, int], made: Path) -> None:
    there = [name for name in MAYBE_FILES if (folder.path / name).exists()]
    paths = {LINES: lines} | {name: folder.path / name for name in (*FILES, *there)}
    sums = {name: _sum(path) for name, path in paths.items()}
    contents = lines.with_name(CONTENTS)
    contents.write_text(json.dumps({"format": FORMAT, "revision": newest(), "rows": rows, "sha256": sums}))
    with _private(made) as file:
        with tarfile.open(fileobj=file, mode="w:gz") as archive:
            for name, path in {CONTENTS: contents, **paths}.items():
                archive.add(path, name)
        file.flush()
        os.fsync(file.fileno())


def _restore(source: Path, into: DataFolder, database_url_of: Callable[[DataFolder], str]) -> dict[str, int]:
    """Unpacks, and fills the database. Returns how many rows there are of each table."""
    try:
        contents = _unpack(source, into.path)
        rows = _fill(contents, into, database_url_of(into))
    except (OSError, EOFError, tarfile.TarError, zlib.error, KeyError, ValueError, TypeError) as error:
        raise InvalidRequest(Reason.CONFIG_INVALID, f"{source} is no whole backup of a hub. Take another one.") from error
    except Unusable as error:
        raise NotPossibleNow(Reason.CONFIG_INVALID, f"The backup cannot be restored: {error}.") from error
    except (SQLAlchemyError, ImportError) as error:
        raise NotPossibleNow(
            Reason.CONFIG_INVALID, f"The backup cannot be restored: the database fails ({type(error).__name__}). Check database_url."
        ) from error
    (into.path / LINES).unlink()
    return rows


def _unpack(source: Path, into: Path) -> dict[str, Any]:
    """Takes the files out once all is read to the end and found to be whole. Returns the contents."""
    with TemporaryDirectory(dir=into.parent) as scratch:
        plain = Path(scratch) / "plain.tar"
        with gzip.open(source) as packed, _private(plain) as file:
            shutil.copyfileobj(packed, file)
        with tarfile.open(plain, "r:") as archive:
            contents: dict[str, Any] = json.loads(_content(archive, CONTENTS, MAX_FILE_BYTES).read())
            if contents["format"] != FORMAT:
                raise Unusable("a newer version has made it: install that one")
            names = (*FILES, *(name for name in MAYBE_FILES if name in contents["sha256"]))
            for name in (LINES, *names):
                _compare(archive, name, contents["sha256"][name])
            for name in names:
                write_file(into / name, _content(archive, name, MAX_FILE_BYTES).read())
            with _private(into / LINES) as file:
                shutil.copyfileobj(_content(archive, LINES), file)
    return contents


def _fill(contents: dict[str, Any], into: DataFolder, database_url: str) -> dict[str, int]:
    if not database_url:
        write_file(into.database, b"")
    engine = create_engine(database_url or into.database_url)
    try:
        with (into.path / LINES).open(encoding="utf-8") as lines:
            rows = read_lines(engine, lines, contents["revision"], contents["rows"])
    finally:
        engine.dispose()
    return rows


def _content(archive: tarfile.TarFile, name: str, most_bytes: int | None = None) -> Any:
    """By its known name alone: nothing in the archive says where it goes."""
    member = archive.getmember(name)
    content = archive.extractfile(member)
    if content is None or (most_bytes is not None and member.size > most_bytes):
        raise KeyError(name)
    return content


def _compare(archive: tarfile.TarFile, name: str, wanted: str) -> None:
    if hashlib.file_digest(_content(archive, name), "sha256").hexdigest() != wanted:
        raise ValueError(name)


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _private(path: Path) -> Any:
    """A new file, for its owner alone."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _impossible(why: str) -> NotPossibleNow:
    return NotPossibleNow(Reason.CONFIG_INVALID, f"The backup cannot be made: {why}.")
