"""What a device remembers of its contributions."""

import sqlite3
from pathlib import Path

from agent.learning.ledger import Contribution, LedgerStore, Price, RoundLedger
from agent.store.database import Database
from contract.errors import Reason
from contract.privacy_account import Budget
from tests.fakes.secagg_cohort import refused

WEEK, NEXT = "2026-W47", "2026-W48"
NOISY = Price(rho=0.25, budget=Budget(5.0, 1e-6), cohort=20, is_exact=False)
EXACT = Price(rho=0.0, budget=Budget(5.0, 1e-6), cohort=40, is_exact=True)
ROUND = bytes(range(32))


def test_a_window_is_spent_once_whatever_the_round(database: Database) -> None:
    ledger = LedgerStore(database)
    assert not ledger.is_spent(WEEK)
    ledger.spend(WEEK, ROUND, NOISY, 1.0)
    assert ledger.is_spent(WEEK)
    for price in (NOISY, EXACT):
        with refused(Reason.WINDOW_SPENT):
            ledger.spend(WEEK, bytes(32), price, 2.0)
    assert ledger.account().rho == NOISY.rho


def test_what_does_not_fit_into_the_budget_spends_nothing(database: Database) -> None:
    ledger = LedgerStore(database)
    ledger.spend(WEEK, ROUND, NOISY, 1.0)
    dear = Price(rho=3.0, budget=NOISY.budget, cohort=20, is_exact=False)
    with refused(Reason.PRIVACY_SPENT):
        ledger.spend(NEXT, ROUND, dear, 2.0)
    assert not ledger.is_spent(NEXT)
    ledger.spend(NEXT, ROUND, EXACT, 2.0)
    assert ledger.account().rho == NOISY.rho


def test_a_ledger_that_is_opened_again_knows_all_of_it(tmp_path: Path) -> None:
    first = Database(tmp_path / "agent.db")
    LedgerStore(first).spend(WEEK, ROUND, NOISY, 1.0)
    LedgerStore(first).see_roster(7)
    first.close()
    second = Database(tmp_path / "agent.db")
    ledger = LedgerStore(second)
    assert (ledger.is_spent(WEEK), ledger.account().rho, ledger.roster_version()) == (True, NOISY.rho, 7)
    second.close()


def test_contributions_are_shown_by_week_with_what_was_counted(database: Database) -> None:
    ledger = LedgerStore(database)
    ledger.spend(NEXT, ROUND, EXACT, 2.0)
    ledger.spend(WEEK, ROUND, NOISY, 1.0)
    ledger.keep_counts(WEEK, {"route.local": 3, "provisional": 0})
    assert ledger.contributions() == [
        Contribution(WEEK, ROUND.hex(), 1.0, 20, is_exact=False, rho=0.25, counts={"route.local": 3}),
        Contribution(NEXT, ROUND.hex(), 2.0, 40, is_exact=True, rho=0.0, counts=None),
    ]


def test_an_older_roster_than_was_seen_is_no_longer_seen(database: Database) -> None:
    ledger = LedgerStore(database)
    assert ledger.roster_version() == 0
    ledger.see_roster(3)
    ledger.see_roster(3)
    with refused(Reason.ROSTER_OLD):
        ledger.see_roster(2)
    assert ledger.roster_version() == 3


def test_a_round_spends_at_its_own_price_and_time(database: Database) -> None:
    store = LedgerStore(database)
    ledger = RoundLedger(store, lambda: NOISY, lambda: 9.0)
    ledger.spend(WEEK, ROUND)
    assert ledger.is_spent(WEEK)
    assert [(one.rho, one.spend_time) for one in store.contributions()] == [(0.25, 9.0)]


def test_a_store_that_is_broken_spends_nothing_and_says_so(database: Database) -> None:
    def break_it(tables: sqlite3.Connection) -> None:
        tables.execute("DROP TABLE learning_windows")

    database.run_now(lambda tables: break_it(tables.conn))
    with refused(Reason.STORE_UNAVAILABLE):
        LedgerStore(database).spend(WEEK, ROUND, NOISY, 1.0)
