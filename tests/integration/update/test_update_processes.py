"""Receivers of `benchmarks/updates.py`: what they took is told, and one that dies ends the run at once."""

import os
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier

import pytest

from agent.identity.files import Identity
from benchmarks.update_peers import Moments
from benchmarks.update_processes import run_together

IDENTITIES = [Identity(name, "bench.internal", "", b"", b"", b"") for name in ("one", "two")]


def receive(identity: Identity, dies: str, barrier: Barrier, told: Connection) -> None:
    if identity.agent_id == dies:
        os._exit(1)
    barrier.wait()
    told.send(Moments(1.0 if identity.agent_id == "one" else 2.0, 5.0, 0.25))
    barrier.wait()


def test_a_run_lasts_from_the_first_beginning_to_the_last_end() -> None:
    server = iter((3.0, 3.5))
    run = run_together(receive, IDENTITIES, "", lambda: next(server))
    assert (run.seconds, run.server_cpu_seconds, run.receivers_cpu_seconds, run.cpu_seconds) == (4.0, 0.5, 0.5, 1.0)


def test_a_receiver_that_dies_ends_the_run_also_for_those_that_would_wait_for_it_for_ever() -> None:
    with pytest.raises(SystemExit, match="ended before it was done"):
        run_together(receive, IDENTITIES, "two", lambda: 0.0)
