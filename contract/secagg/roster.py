"""The roster: which devices there are, and the hash of each one's member key. A TUF target, signed where the hub has no key.

A member key is a device's for its life, whatever becomes of its certificates: so a line that has changed is a rare thing, which whoever
signs can ask about. A hub that makes devices up gets none of them in here. Whoever hands a roster to a round has verified TUF's
signatures: of the role `rosters`.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from contract.errors import InvalidRequest, Reason
from contract.identity import AGENT_ID
from contract.leaves import canonical

FORMAT_VERSION = 2
"""Version 1 had the hashes of certificates' keys."""

MOST_MEMBERS = 100_000
MOST_BYTES = 16 * 1024 * 1024

_FIELDS = {"format_version", "members", "version"}
_KEY_HASH = re.compile(r"[0-9a-f]{64}")
_MOST_VERSION = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Roster:
    """Who may be in a cohort.

    Args:
        version: from 1; a later roster has a greater one.
        members: agents' ids, and for each the SHA-256 of its public member key (`contract.identity.key_hash`).
    """

    version: int
    members: Mapping[str, str]
    digest: bytes = field(init=False)
    """SHA-256 of the canonical bytes: a plan names it, so that all of a cohort have the same roster."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", hashlib.sha256(self.to_json()).digest())

    def to_json(self) -> bytes:
        """Returns the canonical bytes, the target's content."""
        members = [{"agent": agent, "member_key_hash": self.members[agent]} for agent in sorted(self.members)]
        return canonical({"format_version": FORMAT_VERSION, "members": members, "version": self.version}).encode() + b"\n"

    @classmethod
    def from_json(cls, content: bytes) -> "Roster":
        """Reads and checks a roster.

        Raises:
            InvalidRequest: ROSTER_INVALID, or NAME_REPEATED.
        """
        if len(content) > MOST_BYTES:
            raise _invalid(f"it has more than {MOST_BYTES} bytes")
        try:
            fields = json.loads(content)
            if set(fields) != _FIELDS:
                raise ValueError(f"fields are {', '.join(sorted(_FIELDS))}")
            if fields["format_version"] != FORMAT_VERSION:
                raise ValueError(f"its format is {fields['format_version']}, and the one with member keys is {FORMAT_VERSION}")
            pairs = [_member(item) for item in fields["members"]]
            version = fields["version"]
            if type(version) is not int or not 1 <= version <= _MOST_VERSION or not 1 <= len(pairs) <= MOST_MEMBERS:
                raise ValueError(f"a version from 1 and 1 to {MOST_MEMBERS} members are needed")
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise _invalid(f"{type(error).__name__}: {str(error)[:200]}") from error
        if len(dict(pairs)) != len(pairs):
            raise InvalidRequest(Reason.NAME_REPEATED, "The roster lists a device twice: list each once, and sign it again.")
        if len({key for _, key in pairs}) != len(pairs):
            raise _invalid("two devices in it have one key, so that who has it would count twice")
        return cls(version, dict(pairs))


def _member(item: Any) -> tuple[str, str]:
    agent, member_key_hash = item["agent"], item["member_key_hash"]
    if len(item) != 2 or not AGENT_ID.fullmatch(agent) or not _KEY_HASH.fullmatch(member_key_hash):
        raise ValueError("a member has an agent's id, and a member_key_hash of 64 of 0-9 and a-f")
    return agent, member_key_hash


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest(
        Reason.ROSTER_INVALID, f"The roster cannot be used: {why}. Have seawall-hub learning roster propose another, and sign that."
    )
