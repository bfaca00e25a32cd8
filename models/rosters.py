"""Makes a release of a roster: one file, which says its own version."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from contract.errors import InvalidRequest, Reason
from contract.release import FORMAT_VERSION, Index, versions_of
from contract.roster_bundle import ROLE, ROSTER_FILE, check_roster_bundle, newest_roster
from contract.secagg.roster import Roster
from models.chunks import Place, index_file

MOST_SKIPPED = 100
"""Versions: a hub that was put back from a backup offers anew what devices have seen, and would have to offer each of them."""


def index_roster(path: Path, name: str, version: str) -> tuple[Index, dict[str, Place]]:
    """Returns the index of a roster, and where each chunk is.

    Args:
        path: the file, or a folder with `roster.json` in it.
        name: of the roster.
        version: as it is to be signed; empty: the roster's own, which it must be in any case.

    Raises:
        InvalidRequest: ROSTER_INVALID or NAME_REPEATED, no agent would take it.
    """
    file = path / ROSTER_FILE if path.is_dir() else path
    content = file.read_bytes()
    roster = check_roster_bundle({ROSTER_FILE: content}, version or str(Roster.from_json(content).version))
    entry, places = index_file(file, ())
    return Index(FORMAT_VERSION, name, str(roster.version), (replace(entry, name=ROSTER_FILE),)), places


def check_follows(name: str, version: str, published: Iterable[str]) -> None:
    """Refuses a version far beyond the newest: after the greatest that there can be no roster could follow, and nobody be taken out of one.

    Args:
        name: of the roster.
        version: that is to be signed.
        published: targetpaths of the role.

    Raises:
        InvalidRequest: ROSTER_INVALID.
    """
    newest = newest_roster(versions_of(published, ROLE, name))
    if int(version) > newest + MOST_SKIPPED + 1:
        raise InvalidRequest(
            Reason.ROSTER_INVALID,
            f"The roster's version is {version}, and the next one is {newest + 1}: do not sign what skips more than {MOST_SKIPPED}.",
        )
