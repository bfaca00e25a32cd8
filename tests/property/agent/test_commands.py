"""Commands on a real SQLite file, with the process gone at any point: each is done at most once, and its end is told."""

import asyncio
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.commands import Commands
from agent.store.commands import CommandEntry, CommandStore, State
from agent.store.database import Database
from hub.clock import utc_now
from seawall.hub.v1.command_pb2 import Command

NAMES = [f"agents/a1/commands/{letter}" for letter in "abc"]
ACTIONS = [Command.FORGET_ANSWERS, Command.RESTART]
FAR = 4_000_000_000


class AgentUnderPowerCuts(RuleBasedStateMachine):
    """What an agent, its hub and a power cut can do, in any order. A cut drops everything but the file."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.done: Counter[str] = Counter()
        self.taken: dict[str, int] = {}
        self.told: dict[str, State] = {}
        self.ended: dict[str, State] = {}

    @initialize()
    def start(self) -> None:
        self.database = Database(Path(self.folder.name) / "agent.db")
        self.store = CommandStore(self.database)
        self.cut_in: str | None = None
        self.is_dead = False
        actions = {int(Command.FORGET_ANSWERS): self.forget}
        self.commands = Commands(self.store, "agents/a1", actions, self.restart)
        self.runner.run(self.commands.recover())

    async def forget(self, entry: CommandEntry) -> str:
        if self.cut_in == "before":
            self.is_dead = True
            await asyncio.Event().wait()
        self.done[entry.name] += 1
        if self.cut_in == "after":
            self.is_dead = True
            await asyncio.Event().wait()
        return "forgotten"

    def restart(self) -> None:
        self.is_dead = True

    @rule(name=st.sampled_from(NAMES), action=st.sampled_from(ACTIONS), cut=st.sampled_from([None, "taken", "before", "after"]))
    def tell(self, name: str, action: int, cut: str | None) -> None:
        """The hub tells a command, new or again; the power may go at any point of it."""
        action = self.taken.setdefault(name, action)
        command = Command(name=name, action=Command.Action.ValueType(action))
        command.expire_time.FromSeconds(FAR)
        self.cut_in = cut
        self.runner.run(self._take_and_do(command))
        if self.is_dead or cut == "taken":
            self.cut_power()

    async def _take_and_do(self, command: Command) -> None:
        await self.commands.take(command, utc_now())
        if self.cut_in == "taken":
            return
        running = asyncio.create_task(self.commands.run())
        left = await self.store.begun()
        while left and not self.is_dead:
            left = await self.store.begun()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    @rule()
    def cut_power(self) -> None:
        self.database.close()
        self.start()

    @precondition(lambda self: self.taken)
    @rule(arrives=st.booleans())
    def tell_outcomes(self, arrives: bool) -> None:
        """The agent tells what is not received; the acknowledgement may be lost."""
        for entry in self.runner.run(self.commands.outcomes()):
            earlier = self.told.get(entry.name)
            assert earlier in (None, State.BEGUN, entry.state), "an end has changed"
            self.told[entry.name] = entry.state
            if arrives:
                self.runner.run(self.commands.received(entry.name, entry.state, utc_now()))

    @invariant()
    def each_is_done_at_most_once(self) -> None:
        assert all(times <= 1 for times in self.done.values()), self.done

    @invariant()
    def none_is_called_done_that_was_not(self) -> None:
        for name, state in self.told.items():
            if state is State.SUCCEEDED and self.taken[name] == Command.FORGET_ANSWERS:
                assert self.done[name] == 1

    def teardown(self) -> None:
        """At the end, with the power on, the hub gets the end of every command that was taken."""
        self.cut_power()
        self.tell_outcomes(arrives=True)
        assert all(state is not State.BEGUN for state in self.told.values())
        assert set(self.told) == set(self.taken)
        assert self.runner.run(self.commands.outcomes()) == []
        self.database.close()
        self.runner.close()
        self.folder.cleanup()


AgentUnderPowerCuts.TestCase.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
TestAgentUnderPowerCuts = AgentUnderPowerCuts.TestCase
