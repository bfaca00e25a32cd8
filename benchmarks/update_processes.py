"""The processes of `benchmarks/updates.py`: the bare server, and receivers that begin at the same time, and what they took."""

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from agent.identity.files import Identity
from benchmarks.update_peers import Moments, serve

PROCESSES: SpawnContext = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Run:
    """What one run took.

    Args:
        seconds: from the first receiver's beginning to the last's end.
        server_cpu_seconds: of the server's processor time.
        receivers_cpu_seconds: of all receivers' processor time together.
    """

    seconds: float
    server_cpu_seconds: float
    receivers_cpu_seconds: float

    @property
    def cpu_seconds(self) -> float:
        """Of both sides."""
        return self.server_cpu_seconds + self.receivers_cpu_seconds


def run_together(target: Callable[..., None], identities: Sequence[Identity], what: Any, server_cpu_seconds: Callable[[], float]) -> Run:
    """Runs processes that begin at the same time, one an identity.

    Args:
        target: what each does; it is given the identity, `what`, a barrier and a pipe for its moments.
        identities: who they are.
        what: they bring.
        server_cpu_seconds: returns the server's processor time so far.

    Raises:
        SystemExit: one of them ended before it was done; the others are ended too.
    """
    barrier = PROCESSES.Barrier(len(identities))
    begun_cpu_seconds = server_cpu_seconds()
    started = [_start(target, identity, what, barrier) for identity in identities]
    try:
        moments = _all_moments([ours for _, ours in started], barrier)
        server = server_cpu_seconds() - begun_cpu_seconds
    finally:
        for process, ours in started:
            process.join()
            ours.close()
    seconds = max(moment.ended for moment in moments) - min(moment.begun for moment in moments)
    return Run(seconds, server, sum(moment.cpu_seconds for moment in moments))


def _start(target: Callable[..., None], identity: Identity, what: Any, barrier: Barrier) -> tuple[Any, Connection]:
    ours, its = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=target, args=(identity, what, barrier, its))
    process.start()
    its.close()  # so that the pipe ends with the process
    return process, ours


def _all_moments(pipes: Sequence[Connection], barrier: Barrier) -> list[Moments]:
    left, moments = list(pipes), list[Moments]()
    while left:
        for pipe in wait(left):
            assert isinstance(pipe, Connection)
            try:
                moments.append(pipe.recv())
            except EOFError:
                barrier.abort()  # nobody waits for one that is gone
                raise SystemExit("A receiver ended before it was done: see above.") from None
            left.remove(pipe)
    return moments


@dataclass(frozen=True)
class BareServer:
    """A server of bare bytes.

    Args:
        address: where it listens.
        pid: of its process.
    """

    address: str
    pid: int

    def cpu_seconds(self) -> float:
        """Of all its threads since it began: see clock_getcpuclockid(3)."""
        return time.clock_gettime((~self.pid << 3) | 2)


@contextmanager
def bare_server(data: Path) -> Iterator[BareServer]:
    """Runs the bare server in a process of its own, until the block ends."""
    ours, its = PROCESSES.Pipe()
    process = PROCESSES.Process(target=serve, args=(data, its))
    process.start()
    try:
        yield BareServer(f"127.0.0.1:{ours.recv()}", process.pid or 0)
    finally:
        ours.send(None)
        process.join()
