"""Looks whether a hub serves, from the outside: its store answers, and a stranger can begin TLS on both listeners."""

import asyncio
import ssl

from sqlalchemy import text

from hub.config import Settings, connectable, split_address
from hub.folder import DataFolder
from hub.server import Hub


class Probe:
    """Looks, each time that it is called.

    Args:
        hub: that has started.
        folder: with the CA that its listeners show.
        settings: as loaded.
    """

    def __init__(self, hub: Hub, folder: DataFolder, settings: Settings) -> None:
        listeners = settings.listeners
        self._hub = hub
        self.targets = [
            (connectable(split_address(listeners.enrollment)[0]), hub.enrollment_port),
            (connectable(split_address(listeners.mtls)[0]), hub.mtls_port),
        ]
        self._tls = ssl.create_default_context(cafile=str(folder.ca.certificate_path))

    async def __call__(self) -> None:
        """Returns where all is well.

        Raises:
            Unavailable: HUB_UNAVAILABLE, the store is away.
            OSError: a listener is away, or shows no certificate of ours.
        """
        await self._hub.database.read(lambda connection: connection.execute(text("SELECT 1")))
        for host, port in self.targets:
            _, writer = await asyncio.open_connection(host, port, ssl=self._tls, server_hostname="localhost")
            writer.transport.abort()
