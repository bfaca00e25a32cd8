"""The desired state that this agent runs by: applied at once, kept over restarts."""

import sqlite3
from collections.abc import Callable

import structlog
from google.protobuf.message import DecodeError

from agent.narrowing import Narrowing, OwnLimits, met, narrow
from agent.store.desired import LOST, DesiredStore
from contract.errors import SeawallError
from seawall.hub.v1.group_pb2 import Configuration
from seawall.hub.v1.session_pb2 import ConfigurationOutcome, DesiredState

_log = structlog.get_logger(__name__)


class Desired:
    """What is wanted, and what has come of it.

    Args:
        store: where what is applied is kept.
        own: what the agent's own file allows.
        set_log_level: called with the level that is wanted; None: the agent's own.
    """

    def __init__(self, store: DesiredStore, own: OwnLimits, set_log_level: Callable[[str | None], None]) -> None:
        self._store = store
        self._own = own
        self._set_log_level = set_log_level
        self.generation = 0
        self.refusal = ""
        self.narrowing = Narrowing()

    async def load(self) -> None:
        """Applies what was applied when the agent ran last. Where it is lost, nothing leaves until the hub has said it again.

        Raises:
            sqlite3.DatabaseError: it cannot be read; running without it would allow more than is wanted.
        """
        generation, content = await self._store.get()
        try:
            wanted = Configuration(escalation_disabled=True) if generation == LOST else Configuration.FromString(content)
            self._use(generation, met(self._own, wanted))
        except (DecodeError, KeyError) as error:
            raise sqlite3.DatabaseError("the desired state in it cannot be read: restore the file, or remove it") from error
        if generation == LOST:
            _log.error("the hub's configuration is lost", advice=self.trouble)
        elif generation:
            await self._mark()  # an earlier version did not

    @property
    def trouble(self) -> str:
        """Says what is wrong, and what to do; empty: nothing is."""
        if self.generation != LOST:
            return ""
        return (
            "the store was emptied, and the hub's configuration with it: nothing leaves until a session with the hub has brought it again"
        )

    async def _mark(self) -> None:
        try:
            await self._store.mark()
        except SeawallError as error:  # what is wanted is known, and the next change of it marks it
            _log.warning("that there is a configuration cannot be noted", advice=error.message)

    async def apply(self, wanted: DesiredState) -> ConfigurationOutcome:
        """Applies a desired state, or refuses it and goes on as before. When this returns, what was applied is on the disk.

        Raises:
            Unavailable: STORE_UNAVAILABLE, the disk does not take it; nothing has changed.
        """
        try:
            narrowing = narrow(self._own, wanted.configuration)
        except SeawallError as error:
            self.refusal = f"{error.reason}: {error.message}"
            _log.warning("the hub's configuration is refused", generation=wanted.generation, reason=error.reason)
            return ConfigurationOutcome(generation=wanted.generation, refusal=self.refusal)
        await self._store.put(wanted.generation, wanted.configuration.SerializeToString())
        self._use(wanted.generation, narrowing)
        self.refusal = ""
        _log.info("the hub's configuration is applied", generation=wanted.generation)
        return ConfigurationOutcome(generation=wanted.generation)

    def _use(self, generation: int, narrowing: Narrowing) -> None:
        self.generation = generation
        self.narrowing = narrowing
        self._set_log_level(narrowing.log_level)
