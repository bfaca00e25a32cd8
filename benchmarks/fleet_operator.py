"""The operator of `benchmarks/fleet.py`: lists all agents, watches what happens and tells agents to do things, as the command line does."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from contract.errors import SeawallError, Unavailable
from hub.clock import utc_now
from hub.folder import DataFolder
from hub.operator import Operator, connect
from seawall.hub.v1 import command_pb2, event_pb2

LIST_SECONDS = 5.0
RETRY_SECONDS = 0.5
AT_ONCE = 64
"""Calls of CreateCommand under way."""


class Watching:
    """Lists and watches in two threads until `stop`, over connections of their own, as commands do that are run one after the other.

    A call that fails while the hub is down counts as `down`; any other failure is an error.

    Args:
        folder: with the operator's certificate.
        address: of the hub.
        agents: that every list must have.
    """

    def __init__(self, folder: DataFolder, address: str, agents: int) -> None:
        self._folder = folder
        self._address = address
        self._agents = agents
        self._down_changes = 0
        self.lists: list[float] = []
        self.errors: Counter[str] = Counter()
        self.down = 0
        self.events = 0
        self._stopped = threading.Event()
        self._after: int | None = None
        self._threads = [threading.Thread(target=self._run, args=(work,), daemon=True) for work in (self._list, self._watch)]
        for thread in self._threads:
            thread.start()

    def hub_goes_down(self) -> None:
        """Said before the hub is stopped."""
        self._down_changes += 1

    def hub_is_up(self) -> None:
        """Said when it has said that it is ready."""
        self._down_changes += 1

    def stop(self) -> None:
        """Ends both threads. The watch ends when the hub does, at the latest."""
        self._stopped.set()
        self._threads[0].join()

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self.errors[f"{work.__name__} broke: {type(error).__name__}"] += 1
            raise

    def _list(self) -> None:
        while not self._stopped.is_set():
            begun, changes = time.monotonic(), self._down_changes
            try:
                found = count_agents(self._folder, self._address)
            except SeawallError as error:
                self._failed("list", error, changes)
                self._stopped.wait(RETRY_SECONDS)
                continue
            self.lists.append(time.monotonic() - begun)
            if found != self._agents:
                self.errors[f"list of {found} agents"] += 1
            self._stopped.wait(LIST_SECONDS)

    def _watch(self) -> None:
        while not self._stopped.is_set():
            changes = self._down_changes
            try:
                with connect(self._folder, self._address, utc_now()) as operator:
                    self._follow(operator)
            except SeawallError as error:
                self._failed("watch", error, changes)
                self._stopped.wait(RETRY_SECONDS)

    def _follow(self, operator: Operator) -> None:
        for response in operator.stream(operator.events.WatchEvents, event_pb2.WatchEventsRequest(after_sequence=self._after)):
            if self._after is not None and response.HasField("event"):
                self.events += 1
                if response.sequence != self._after + 1:
                    self.errors[f"events {self._after + 1} to {response.sequence - 1} missing"] += 1
            self._after = response.sequence
            if self._stopped.is_set():
                return

    def _failed(self, what: str, error: SeawallError, changes: int) -> None:
        """The hub was down at the beginning of the call, or went down in it."""
        if self._stopped.is_set():
            return
        if isinstance(error, Unavailable) and (changes % 2 or changes != self._down_changes):
            self.down += 1
        else:
            self.errors[f"{what}: {error.reason}"] += 1


def count_agents(folder: DataFolder, address: str) -> int:
    """Lists all agents; returns how many there are.

    Raises:
        SeawallError: as the hub says, or it cannot be reached.
    """
    with connect(folder, address, utc_now()) as operator:
        return len(operator.list_agents())


def tell_all(folder: DataFolder, address: str, agent_ids: list[str]) -> tuple[set[str], Counter[str]]:
    """Makes a command for each agent, through one connection. Returns the commands' names, and what failed."""
    errors: Counter[str] = Counter()

    def tell(agent_id: str) -> str:
        request = command_pb2.CreateCommandRequest(
            parent=f"agents/{agent_id}", command=command_pb2.Command(action=command_pb2.Command.RUN_DOCTOR), request_id=str(uuid4())
        )
        try:
            made: command_pb2.Command = operator.call(operator.commands.CreateCommand, request)
        except SeawallError as error:
            errors[f"command: {error.reason}"] += 1
            return ""
        return made.name

    with connect(folder, address, utc_now()) as operator, ThreadPoolExecutor(AT_ONCE) as pool:
        return set(pool.map(tell, agent_ids)) - {""}, errors


def kept_results(folder: DataFolder, address: str) -> set[str]:
    """Returns the names of all commands whose result the hub has."""
    with connect(folder, address, utc_now()) as operator:
        found = operator.pages(
            operator.commands.ListCommands, command_pb2.ListCommandsRequest(parent="agents/-", page_size=1000), "commands"
        )
    return {one.name for one in found if one.state == command_pb2.Command.SUCCEEDED}
