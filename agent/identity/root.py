"""The first root of what is distributed: the one that the join token named, whoever hands it over."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable

from contract.errors import InvalidRequest, NotFound, Reason

MAX_ROOTS = 1024
"""No more are looked at: one a year is usual."""


async def first_root(metadata: Callable[[str], Awaitable[bytes]], sha256: str) -> bytes:
    """Looks through the roots of a source, from the first on, for the one with a digest.

    Args:
        metadata: returns a metadata file by its name; raises NotFound where there is none.
        sha256: from the join token.

    Raises:
        InvalidRequest: RELEASE_INVALID, it is not among them: this hub, or somebody before it, has another trust than the join token named.
        SeawallError: the source's own.
    """
    for version in range(1, MAX_ROOTS + 1):
        try:
            root = await metadata(f"{version}.root.json")
        except NotFound:
            break
        if hmac.compare_digest(hashlib.sha256(root).hexdigest(), sha256):
            return root
    raise InvalidRequest(
        Reason.RELEASE_INVALID,
        f"No root here has the SHA-256 {sha256[:12]}… that the join token named: nothing is taken. "
        "Ask the operator what seawall-hub trust show says; if the trust began anew, enrol again with a new token.",
    )
