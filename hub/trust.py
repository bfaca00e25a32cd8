"""What the listeners show and whom they trust, taken up from the data folder while the hub runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import grpc
import structlog

from contract.errors import SeawallError
from hub.clock import Clock
from hub.fleet.authorities import Authorities, Trust
from hub.fleet.events import Journal
from hub.fleet.upkeep import beside, every
from hub.folder import DataFolder, Stamp
from hub.store.events import NewEvent

LOOK_SECONDS = 1.0
"""The folder is looked at so often."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Material:
    """What TLS is given, PEM."""

    key: bytes
    chain: bytes
    trusted: bytes


class LiveTrust:
    """Follows the keys in a data folder.

    Args:
        folder: with its keys.
        trust_domain: that the CA must be of.
        clock: the time, in UTC.

    Raises:
        NotPossibleNow: CONFIG_INVALID, a key is missing or damaged.
    """

    def __init__(self, folder: DataFolder, trust_domain: str, clock: Clock) -> None:
        self._folder = folder
        self._trust_domain = trust_domain
        self._clock = clock
        self._seen = folder.stamp()
        trust, self._material = self._load()
        self.authorities = Authorities(trust)

    def credentials(self, *, verify_client: bool) -> grpc.ServerCredentials:
        """Returns what a listener shows and trusts: at each handshake, what holds then.

        Args:
            verify_client: ask for a certificate of a trusted CA, and hang up without one.
        """
        given = self._material

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            nonlocal given
            if given is self._material:
                return None
            given = self._material
            return _configuration(given, verify_client=verify_client)

        first = _configuration(given, verify_client=verify_client)
        return grpc.dynamic_ssl_server_credentials(first, fetch, verify_client)  # type: ignore[arg-type]  # None: as before

    async def refresh(self) -> bool:
        """Takes up what has changed in the folder, unless it cannot be used. Returns whether the trusted CAs are others than before."""
        before, stamp = self.authorities.trust, await asyncio.to_thread(self._folder.stamp)
        if stamp is None or stamp == self._seen:
            return False
        try:
            trust, material = await asyncio.to_thread(self._load)
        except SeawallError as error:
            self._refuse(stamp, error)
            return False
        if await asyncio.to_thread(self._folder.stamp) != stamp:
            return False  # it changed while it was read: the next look sees it whole
        self._seen, self._material, self.authorities.trust = stamp, material, trust
        _log.info("keys taken up from the data folder", trusted=len(trust.trusted))
        return trust.key_hashes != before.key_hashes

    @asynccontextmanager
    async def followed(self, journal: Journal) -> AsyncIterator[None]:
        """Takes up changes until the block ends.

        Args:
            journal: told of them.
        """

        async def look() -> None:
            if await self.refresh():
                happened = NewEvent(self._clock(), "AUTHORITIES_CHANGED", "certificateAuthority")
                await journal.write(lambda _: (None, [happened]))

        async with beside([partial(every, LOOK_SECONDS, look)]):
            yield

    def _refuse(self, stamp: Stamp, error: SeawallError) -> None:
        self._seen = stamp
        _log.error("the keys in the data folder are not taken up", reason=error.reason, advice=error.message)

    def _load(self) -> tuple[Trust, _Material]:
        trust = self._folder.load_trust(self._trust_domain, self._clock)
        key, certificate = self._folder.server.read()
        return trust, _Material(key, certificate + trust.chain_pem, trust.trusted_pem)


def _configuration(material: _Material, *, verify_client: bool) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(material.key, material.chain)], root_certificates=material.trusted if verify_client else None
    )
