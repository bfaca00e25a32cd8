"""What a signed roster is made of: the target of the role `rosters` names one file, and its version is the roster's own."""

from collections.abc import Iterable, Mapping

from contract.errors import InvalidRequest, Reason
from contract.secagg.roster import MOST_BYTES, Roster

ROLE = "rosters"
ROSTER_FILE = "roster.json"


def check_roster_bundle(files: Mapping[str, bytes], version: str) -> Roster:
    """Returns the roster of a bundle.

    Args:
        files: by name, whole.
        version: as it is signed: agents take the greatest, so it must be the roster's.

    Raises:
        InvalidRequest: ROSTER_INVALID or NAME_REPEATED.
    """
    check_roster_names({name: len(content) for name, content in files.items()})
    roster = Roster.from_json(files[ROSTER_FILE])
    if str(roster.version) != version:
        raise _invalid(f"it says that its version is {roster.version}, and would be signed as {version[:40]}")
    return roster


def check_roster_names(sizes: Mapping[str, int]) -> None:
    """Checks which files there are, before they are fetched.

    Raises:
        InvalidRequest: ROSTER_INVALID, one is missing, unknown, or too large.
    """
    if set(sizes) != {ROSTER_FILE}:
        raise _invalid(f"its one file must be {ROSTER_FILE}")
    if sizes[ROSTER_FILE] > MOST_BYTES:
        raise _invalid(f"it has more than {MOST_BYTES} bytes")


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest(Reason.ROSTER_INVALID, f"The roster is refused: {why}. Write and sign it again.")


def newest_roster(versions: Iterable[str]) -> int:
    """Returns the largest of versions, which for rosters are numbers; 0: there is none."""
    return max((int(version) for version in versions if version.isascii() and version.isdigit()), default=0)
