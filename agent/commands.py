"""Things that the hub tells this agent to do: each at most once, by its name, whatever happens in between.

A command is on the disk before it is begun. One that the agent finds begun at its start is not begun again: it has failed, but for a
restart, which has just happened.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

import structlog

from agent.store.commands import CommandEntry, CommandStore, State
from contract.errors import SeawallError
from seawall.hub.v1.command_pb2 import Command

_log = structlog.get_logger(__name__)

TIMEOUT_SECONDS = 120.0
"""The doctor reads the whole model from a slow disk; nothing here takes longer."""

RECOVERY_SECONDS = 30.0
"""Between tries to keep the end of what an earlier process has begun, where the disk does not take it."""

LONGEST_NAME_CHARACTERS = 200
LONGEST_OUTPUT_CHARACTERS = 60_000
"""What the hub keeps is cut at 256 KiB; a character takes up to four bytes."""

Action = Callable[[CommandEntry], Awaitable[str]]


class Commands:
    """Takes commands, does them side by side, and keeps what came of them until the hub has it.

    Args:
        store: the table.
        agent: `agents/{agent}`; commands of other names are not taken.
        actions: by number; each returns its output.
        restart: ends this process so that it is started again; None: nobody would start it again.
        timeout_seconds: for each.
        recovery_seconds: between tries to end what an earlier process has begun.
    """

    def __init__(
        self,
        store: CommandStore,
        agent: str,
        actions: Mapping[int, Action],
        restart: Callable[[], None] | None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        recovery_seconds: float = RECOVERY_SECONDS,
    ) -> None:
        self._store = store
        self._prefix = f"{agent}/commands/"
        self._actions = actions
        self._restart = restart
        self._timeout_seconds = timeout_seconds
        self._recovery_seconds = recovery_seconds
        self._earlier: list[CommandEntry] = []
        self._begun: asyncio.Queue[CommandEntry] = asyncio.Queue()
        self._taking: set[asyncio.Task[None]] = set()
        self.changed = asyncio.Event()

    async def recover(self) -> None:
        """Ends what an earlier process has begun. To be called once, before anything is taken.

        What the disk does not take now is tried again by `run`: an agent with a full disk starts.
        """
        self._earlier = await self._store.begun()
        await self._end_earlier()

    async def _end_earlier(self) -> None:
        try:
            while self._earlier:
                entry = self._earlier[-1]
                if entry.action == Command.RESTART:
                    await self._store.end(entry.name, State.SUCCEEDED, "restarted", "")
                else:
                    await self._store.end(entry.name, State.FAILED, "", "The agent stopped before this had ended: tell it again.")
                self._earlier.pop()
        except SeawallError as failure:
            _log.error("what an earlier start has begun cannot be ended yet", commands=len(self._earlier), advice=failure.message)

    async def take(self, command: Command, now: datetime) -> None:
        """Takes a command, unless it was taken before or has expired. When this returns, it is on the disk.

        Args:
            command: from the hub.
            now: by the hub's clock.
        """
        entry = _entry(command)
        if not entry.name.startswith(self._prefix) or len(entry.name) > LONGEST_NAME_CHARACTERS:
            _log.warning("a command of another agent is passed over", command=entry.name[:LONGEST_NAME_CHARACTERS])
        elif entry.expire_time < now.timestamp():
            _log.warning("a command came too late", command=entry.name)
        else:
            taking = asyncio.create_task(self._begin(entry))
            self._taking.add(taking)
            taking.add_done_callback(self._taking.discard)
            await asyncio.shield(taking)  # a session that ends now must not leave a command on the disk that nobody does

    async def _begin(self, entry: CommandEntry) -> None:
        if await self._store.begin(entry) is None:
            _log.info("command begun", command=entry.name, action=entry.action)
            self._begun.put_nowait(entry)
            self._wake()

    async def outcomes(self) -> list[CommandEntry]:
        """Returns how far each command is whose end the hub has not received."""
        return await self._store.unreceived()

    async def received(self, name: str, state: State, now: datetime) -> None:
        """The hub has on its disk how far a command is."""
        if state is not State.BEGUN:
            await self._store.set_received(name)
            await self._store.forget(now.timestamp())

    async def run(self) -> None:
        """Does what is taken, until cancelled."""
        async with asyncio.TaskGroup() as group:
            if self._earlier:
                group.create_task(self._recover_later())
            while True:
                group.create_task(self._do(await self._begun.get()))

    async def _recover_later(self) -> None:
        while self._earlier:
            await asyncio.sleep(self._recovery_seconds)
            await self._end_earlier()
        self._wake()

    async def _do(self, entry: CommandEntry) -> None:
        if entry.action == Command.RESTART and self._restart is not None:
            self._restart()
            return
        state, output, error = await self._outcome(entry)
        try:
            await self._store.end(entry.name, state, output[:LONGEST_OUTPUT_CHARACTERS], error)
        except SeawallError as failure:  # the next start calls it failed
            _log.error("what came of a command cannot be kept", command=entry.name, advice=failure.message)
            return
        _log.info("command ended", command=entry.name, state=state.name)
        self._wake()

    async def _outcome(self, entry: CommandEntry) -> tuple[State, str, str]:
        action = self._actions.get(entry.action)
        if entry.action == Command.RESTART:
            return State.FAILED, "", "Nothing would start this agent again: run it as a systemd service of Type=notify."
        if action is None:
            return State.FAILED, "", f"COMMAND_UNKNOWN: this version does not know action {entry.action}: install a newer one."
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return State.SUCCEEDED, await action(entry), ""
        except TimeoutError:
            return State.FAILED, "", f"It took longer than {self._timeout_seconds:.0f} s."
        except SeawallError as error:
            return State.FAILED, "", error.message
        except Exception as error:  # noqa: BLE001 - one command that fails must not end the agent
            _log.error("a command has failed by a mistake of the agent", command=entry.name, error=type(error).__name__)
            return State.FAILED, "", f"It failed with {type(error).__name__}: fetch the agent's logs, and see whether its disk is full."

    def _wake(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


def _entry(command: Command) -> CommandEntry:
    told = command.learning_round.SerializeToString()
    return CommandEntry(
        command.name, int(command.action), command.log_lines, command.expire_time.ToNanoseconds() / 1e9, learning_round=told
    )
