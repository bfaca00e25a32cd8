"""A device's part in a round, in a process of its own that dies before one of its statements, as if it were killed there."""

import os
from itertools import count
from pathlib import Path

from sqlite_utils import Database as Tables

from agent.learning.ledger import LedgerStore, Price, RoundLedger
from agent.store.database import Database
from contract.errors import Reason, SeawallError
from contract.privacy_account import Budget
from contract.secagg.masks import to_vector
from contract.secagg.messages import Plan
from contract.secagg.server import Coordinator
from contract.secagg.wire import Kind
from tests.fakes.commands import processes
from tests.fakes.secagg_cohort import STAGES, Cohort

KILLED = 9
PRICE = Price(rho=0.5, budget=Budget(1000.0, 1e-6), cohort=4, is_exact=False)
DEVICE, OTHERS = "agent-0", ("agent-1", "agent-2", "agent-3")


def contribute_and_die(folder: Path, seed: int, statements: int) -> bool:
    """Takes part in a new round of the same window, and dies before the statement of this number. Returns whether it came so far.

    A byte is added to the file `left` for each vector that has left.
    """
    process = processes.Process(target=_take_part, args=(folder, seed, statements))
    process.start()
    process.join()
    assert process.exitcode in (0, KILLED)
    return process.exitcode == KILLED


def _take_part(folder: Path, seed: int, statements: int) -> None:
    database = Database(folder / "agent.db")
    numbers = count(1)

    def trace(_statement: str) -> None:
        if next(numbers) == statements:
            os._exit(KILLED)

    def watch(tables: Tables) -> None:
        tables.conn.set_trace_callback(trace)

    database.run_now(watch)
    store = LedgerStore(database)
    cohort = Cohort(4, seed=seed)

    def contribute(plan: Plan) -> bytes:
        store.keep_counts(plan.window, {"provisional": 1})
        return to_vector(cohort.values[DEVICE])

    device = cohort.participant(DEVICE, contribute, RoundLedger(store, lambda: PRICE, lambda: 1.0))
    others = {agent: cohort.participant(agent) for agent in OTHERS}
    coordinator = Coordinator(cohort.plan(), cohort.roster)
    messages = coordinator.invitations()
    for stage in STAGES[:3]:
        for agent, other in others.items():
            coordinator.receive(agent, other.receive(messages[agent]))
        try:
            answer = device.receive(messages[DEVICE])
        except SeawallError as error:
            if error.reason is not Reason.WINDOW_SPENT:
                raise
            break
        if stage is Kind.MASKED:
            with (folder / "left").open("ab") as left:
                left.write(b"x")
        coordinator.receive(DEVICE, answer)
        messages = coordinator.close_stage()
    database.close()
