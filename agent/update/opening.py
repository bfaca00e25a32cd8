"""What an update needs around it: a source by its name, and the first root that is trusted."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from agent.hub_link import HubLink
from agent.identity.files import Identity, IdentityFolder, write_private
from agent.identity.root import first_root
from agent.update.folder_source import FolderSource
from agent.update.http_source import mirror
from agent.update.hub_source import HubSource
from agent.update.slot_record import make_synced_folder
from agent.update.sources import Source
from contract.errors import InvalidRequest, NotPossibleNow, Reason

HUB = "hub"
_ROOT_FILE = "first-root.json"


def rooted(folder: IdentityFolder) -> Identity:
    """Returns this device's identity, which names a root of trust.

    Raises:
        NotPossibleNow: UPDATE_NOT_POSSIBLE, it names none; CERTIFICATE_INVALID, it cannot be read.
    """
    identity = folder.read()
    if not identity.root_sha256:
        raise NotPossibleNow(
            Reason.UPDATE_NOT_POSSIBLE,
            "This device was enrolled before its hub had a root of trust, so nothing can be verified: "
            "ask the hub's operator for a new join token, then seawall-agent enroll --again TOKEN.",
        )
    return identity


@asynccontextmanager
async def open_source(name: str, identity: Identity) -> AsyncGenerator[Source, None]:
    """Opens what a name stands for, and closes it at the end.

    Args:
        name: `hub`, an HTTPS address of a mirror, or a folder.
        identity: shown to the hub.

    Raises:
        InvalidRequest: CONFIG_INVALID, it is none of them.
    """
    if name == HUB:
        link = HubLink(identity)
        try:
            yield HubSource(link.use, f"The hub at {identity.hub_address}")
        finally:
            await link.close()
    elif "://" in name:
        remote = mirror(name)
        try:
            yield remote
        finally:
            remote.close()
    elif await asyncio.to_thread(Path(name).is_dir):
        yield FolderSource(Path(name))
    else:
        raise InvalidRequest(
            Reason.CONFIG_INVALID,
            f"There is no folder {name}: name 'hub', a folder with metadata/ in it, or an https:// address of a mirror.",
        )


async def trusted_root(folder: Path, source: Source, identity: Identity) -> bytes:
    """Returns the root that the join token named: the one kept here, else the source's, which is then kept.

    Args:
        folder: of what belongs to this root.
        source: to ask.
        identity: of this device.

    Raises:
        InvalidRequest: RELEASE_INVALID, the source has another trust.
        NotPossibleNow: DISK_FULL, it cannot be kept.
        SeawallError: the source's own.
    """
    file = folder / _ROOT_FILE
    try:
        if file.exists() and hashlib.sha256(kept := file.read_bytes()).hexdigest() == identity.root_sha256:
            return kept
        root = await first_root(source.metadata, identity.root_sha256)
        make_synced_folder(folder)
        write_private(file, root)
    except OSError as error:
        raise NotPossibleNow(
            Reason.DISK_FULL, f"The trusted root cannot be kept in {folder} ({error.strerror}): make room, or let it be written to."
        ) from error
    return root
