"""The tables `learning_windows` and `learning_roster`: what was contributed, for good, and the newest roster that was seen.

A window is spent, and its price is on the account, in one transaction that is on the disk before the vector leaves. Rows are never deleted:
the account is of the device's life.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from sqlite_utils import Database as Tables

from agent.store.database import Database
from contract.errors import NotPermitted, Reason, Unavailable
from contract.privacy_account import Account, Budget

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Contribution:
    """A window that was spent.

    Args:
        window: the week.
        round_id: of the round, hex.
        spend_time: POSIX time, seconds.
        cohort: how many devices were asked.
        is_exact: whether it was without noise.
        rho: what it has cost; nothing where it was exact, which no account can hold.
        counts: what was counted, before noise; None: the device was stopped before it had counted.
    """

    window: str
    round_id: str
    spend_time: float
    cohort: int
    is_exact: bool
    rho: float
    counts: Mapping[str, int] | None


@dataclass(frozen=True, slots=True)
class Price:
    """What a round costs.

    Args:
        rho: to be added to the account; 0: it is exact.
        budget: that must reach.
        cohort: how many devices are asked.
        is_exact: whether it is without noise.
    """

    rho: float
    budget: Budget
    cohort: int
    is_exact: bool


class LedgerStore:
    """The tables. It blocks: a round is answered in a thread of its own.

    Args:
        database: the store.

    Raises:
        Unavailable: STORE_UNAVAILABLE, by every method: the disk is full or broken.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def is_spent(self, window: str) -> bool:
        """Says whether a window was spent."""
        return self._run(lambda tables: _is_spent(tables, window))

    def spend(self, window: str, round_id: bytes, price: Price, now: float) -> None:
        """Spends a window; on the disk when this returns.

        Args:
            window: the week.
            round_id: of the round.
            price: that it costs.
            now: POSIX time, seconds.

        Raises:
            NotPermitted: WINDOW_SPENT, or PRIVACY_SPENT.
        """

        def work(tables: Tables) -> None:
            if _is_spent(tables, window):
                raise NotPermitted(Reason.WINDOW_SPENT, "This window was contributed once, whatever became of it: report the next one.")
            if not price.is_exact:
                _account(tables).spend(price.rho, price.budget)
            row = {"window": window, "round": round_id.hex(), "spend_time": now, "cohort": price.cohort}
            tables.table("learning_windows").insert({**row, "is_exact": int(price.is_exact), "rho": price.rho})

        self._run(work)

    def keep_counts(self, window: str, counts: Mapping[str, int]) -> None:
        """Keeps what was counted of a spent window, for the device's owner."""
        text = json.dumps({cell: count for cell, count in counts.items() if count})
        self._run(lambda tables: tables.table("learning_windows").update(window, {"counts": text}))

    def contributions(self) -> list[Contribution]:
        """Returns what was spent, the oldest window first."""
        query = "SELECT window, round, spend_time, cohort, is_exact, rho, counts FROM learning_windows ORDER BY window"
        return [
            Contribution(window, round_id, time, cohort, bool(is_exact), rho, None if counts is None else json.loads(counts))
            for window, round_id, time, cohort, is_exact, rho, counts in self._run(lambda tables: tables.execute(query).fetchall())
        ]

    def account(self) -> Account:
        """Returns what was given away."""
        return self._run(_account)

    def roster_version(self) -> int:
        """Returns the greatest version of a roster that was seen; 0: none was."""
        return self._run(_roster_version)

    def see_roster(self, version: int) -> None:
        """Notes that a roster was seen; on the disk when this returns.

        Raises:
            NotPermitted: ROSTER_OLD, a later one was seen before.
        """

        def work(tables: Tables) -> None:
            seen = _roster_version(tables)
            if version < seen:
                raise NotPermitted(Reason.ROSTER_OLD, f"A roster of version {seen} has been seen: use that or a later one.")
            tables.table("learning_roster").upsert({"id": 1, "version": version}, pk="id")

        self._run(work)

    def _run(self, work: Callable[[Tables], T]) -> T:
        try:
            return self._database.run_now(work)
        except sqlite3.DatabaseError as error:
            raise store_broken(error) from error


class RoundLedger:
    """The ledger of one round; see `contract.secagg.client.Ledger`.

    Args:
        store: of all rounds.
        price: returns that of this one; asked once its plan was accepted.
        clock: returns POSIX time, seconds.
    """

    def __init__(self, store: LedgerStore, price: Callable[[], Price], clock: Callable[[], float]) -> None:
        self._store = store
        self._price = price
        self._clock = clock

    def is_spent(self, window: str) -> bool:
        """Says whether a window was spent."""
        return self._store.is_spent(window)

    def spend(self, window: str, round_id: bytes) -> None:
        """Spends a window at this round's price."""
        self._store.spend(window, round_id, self._price(), self._clock())


def store_broken(error: sqlite3.DatabaseError) -> Unavailable:
    """Returns the error for a store that is full or broken."""
    why = f"The agent's store cannot be used ({error}): see whether its disk is full, and try again."
    return Unavailable(Reason.STORE_UNAVAILABLE, why)


def _is_spent(tables: Tables, window: str) -> bool:
    return tables.execute("SELECT 1 FROM learning_windows WHERE window = ?", [window]).fetchone() is not None


def _account(tables: Tables) -> Account:
    return Account(tables.execute("SELECT total(rho) FROM learning_windows").fetchone()[0])


def _roster_version(tables: Tables) -> int:
    row = tables.execute("SELECT version FROM learning_roster").fetchone()
    return 0 if row is None else int(row[0])
