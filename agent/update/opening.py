"""What an update needs around it: a source by its name, and the first root that is trusted."""

import asyncio
import hashlib
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agent.config import UpdateSettings
from agent.hub_link import HubLink
from agent.identity.files import Identity, write_private
from agent.identity.root import first_root
from agent.update.chunk_folder import ChunkFolder
from agent.update.clock_floor import ClockFloor
from agent.update.fetcher import Fetcher
from agent.update.folder_source import FolderSource
from agent.update.http_source import mirror
from agent.update.hub_source import HubSource
from agent.update.pacing import Pace, PaceSettings
from agent.update.slot_record import make_synced_folder
from agent.update.slots import Slots, Started
from agent.update.sources import Source
from agent.update.trust import Trust, TrustSettings
from agent.update.updater import Updater
from contract.errors import InvalidRequest, NotPossibleNow, Reason

HUB = "hub"
_ROOT_FILE = "first-root.json"


@dataclass(frozen=True, slots=True)
class UpdateSite:
    """Where updates come to.

    Args:
        folder: of updates that are under way, and of what is trusted.
        identity: of this device.
        settings: how they are fetched.
        bundle: the folder that the configuration names.
        pace: when and how fast they are fetched.
    """

    folder: Path
    identity: Identity
    settings: UpdateSettings
    bundle: Path
    pace: PaceSettings


def rooted(identity: Identity) -> Identity:
    """Returns an identity that names a root of trust.

    Raises:
        NotPossibleNow: UPDATE_NOT_POSSIBLE, it names none.
    """
    if not identity.root_sha256:
        raise NotPossibleNow(
            Reason.UPDATE_NOT_POSSIBLE,
            "This device was enrolled before its hub had a root of trust, so nothing can be verified: "
            "ask the hub's operator for a new join token, then seawall-agent enroll --again TOKEN.",
        )
    return identity


@asynccontextmanager
async def open_source(name: str, identity: Identity, link: HubLink | None = None) -> AsyncGenerator[Source, None]:
    """Opens what a name stands for, and closes it at the end.

    Args:
        name: `hub`, an HTTPS address of a mirror, or a folder.
        identity: shown to the hub.
        link: to the hub, where there is one already; it stays open.

    Raises:
        InvalidRequest: CONFIG_INVALID, it is none of them.
    """
    if name == HUB and link is not None:
        yield HubSource(link.use, f"The hub at {identity.hub_address}")
    elif name == HUB:
        own_link = HubLink(identity)
        try:
            yield HubSource(own_link.use, f"The hub at {identity.hub_address}")
        finally:
            await own_link.close()
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


async def open_updater(
    source: Source, site: UpdateSite, slots: Slots, started: Started, served_digest: Callable[[], str | None]
) -> Updater:
    """Puts together what brings versions here, for the command and for the running agent.

    Args:
        source: to take them from.
        site: where this is.
        slots: held.
        started: as the slots were read.
        served_digest: returns the digest of the bundle that an agent serves now; None: none runs.

    Raises:
        SeawallError: the source is not of the trust that this device was enrolled with.
    """
    trust = await open_trust(site.folder, source, site.identity, site.settings)
    chunks = ChunkFolder(site.folder / "chunks")
    fetcher = Fetcher(chunks, Pace(site.pace, datetime.now), random.SystemRandom())
    return Updater(trust, fetcher, chunks, slots, started, site.bundle, served_digest)


async def open_trust(base: Path, source: Source, identity: Identity, settings: UpdateSettings) -> Trust:
    """Returns what decides what is believed of a source.

    Args:
        base: the folder in which what was seen is kept.
        source: to ask.
        identity: of this device.
        settings: how stale it may be.

    Raises:
        SeawallError: the source is not of the trust that this device was enrolled with.
    """
    folder = base / rooted(identity).root_sha256[:16]  # another root knows nothing of what this one has seen
    root = await trusted_root(folder, source, identity)
    return Trust(folder / "metadata", root, ClockFloor(base, lambda: datetime.now(UTC)), TrustSettings(settings.stale_seconds))


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
