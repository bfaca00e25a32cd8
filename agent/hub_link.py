"""The agent's channel to the hub, which changes when its certificate does."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from agent.hub_channel import open_channel
from agent.identity.files import Identity


class _Lease:
    """A channel, and how many calls are made over it."""

    def __init__(self, identity: Identity) -> None:
        self.channel = open_channel(identity)
        self.users = 0


class HubLink:
    """Lends the channel out. A channel of an old certificate is closed when its last call has ended.

    Args:
        identity: whose certificate is shown.
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._lease = _Lease(identity)
        self._changed = asyncio.Event()
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def identity(self) -> Identity:
        """Whose certificate is shown now."""
        return self._identity

    @property
    def changed(self) -> asyncio.Event:
        """Set when the present channel is replaced."""
        return self._changed

    @property
    def state(self) -> grpc.ChannelConnectivity:
        """Of the present channel."""
        return self._lease.channel.get_state()

    @contextmanager
    def use(self) -> Iterator[grpc.aio.Channel]:
        """Lends the present channel for one call; it stays open until the block ends."""
        lease = self._lease
        lease.users += 1
        try:
            yield lease.channel
        finally:
            lease.users -= 1
            self._close_if_done(lease)

    def replace(self, identity: Identity) -> None:
        """Shows another certificate from the next call on."""
        old, changed = self._lease, self._changed
        self._identity, self._lease, self._changed = identity, _Lease(identity), asyncio.Event()
        changed.set()
        self._close_if_done(old)

    async def close(self) -> None:
        """Closes the channel."""
        await asyncio.gather(*self._closing)
        await self._lease.channel.close()

    def _close_if_done(self, lease: _Lease) -> None:
        if lease is not self._lease and not lease.users:
            task = asyncio.get_running_loop().create_task(lease.channel.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
