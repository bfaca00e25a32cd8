"""Rounds of sums over the fleet: what was asked of whom, and what it came to."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, func, select, update

from contract.subjects import USAGE, Subject, read_subject
from hub.store.tables import learning_asked, learning_cohorts, learning_rounds

PENDING = "PENDING"
RUNNING = "RUNNING"
SUCCEEDED = "SUCCEEDED"
FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class CohortRecord:
    """One cohort of a round.

    Args:
        group: what its agents have in common, by field.
        size: how many were asked.
        threshold: how many have to stay; 0: it is not known yet who has come.
        state: RUNNING, SUCCEEDED or FAILED.
        reason: why it failed: a reason of `contract.errors`; empty: it did not.
        stage: what was awaited last.
        lost: how many did not answer in time, or wrongly, by what was awaited of them.
        contributors: how many are in the sum.
        rho: what it has cost each; 0: it bears no noise.
        variance: of the noise in each entry of the sum.
        sums: the entries, signed; empty: there are none.
    """

    group: Mapping[str, str]
    size: int
    threshold: int = 0
    state: str = RUNNING
    reason: str = ""
    stage: str = ""
    lost: Mapping[str, int] = field(default_factory=dict)
    contributors: int = 0
    rho: float = 0.0
    variance: float = 0.0
    sums: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class RoundRecord:
    """One round.

    Args:
        round_id: its id.
        window: the week that is reported.
        group_by: fields whose values agents of a cohort have in common.
        is_exact: whether its sums bear no noise.
        schema_version: of what is counted.
        roster_version: of the roster that cohorts are drawn from.
        creator: a SPIFFE id; empty: the hub itself.
        request_id: of the request that made it.
        state: PENDING, RUNNING; SUCCEEDED, if any cohort has; else FAILED.
        reason: why it failed; empty: it did not, or its cohorts say why.
        end_time: None: it goes on.
        left_out: how many agents were not asked, since too few were of their kind.
        replica_id: the process of the hub that conducts it; None: none does yet.
        number: rises from one round to the next; None: not kept yet.
        cohorts: in the order in which they were drawn.
        subject: what is summed.
    """

    round_id: str
    window: str
    group_by: tuple[str, ...]
    is_exact: bool
    schema_version: int
    roster_version: int
    creator: str
    create_time: datetime
    request_id: str
    state: str = PENDING
    reason: str = ""
    end_time: datetime | None = None
    left_out: int = 0
    replica_id: str | None = None
    number: int | None = None
    cohorts: tuple[CohortRecord, ...] = ()
    subject: Subject = USAGE

    @property
    def spent_window(self) -> str:
        """What its agents spend."""
        return self.subject.window(self.window)


def insert(connection: Connection, record: RoundRecord) -> None:
    """Adds a round that has no cohorts yet."""
    values = asdict(record) | {"subject": record.subject.to_dict()}
    del values["number"], values["cohorts"]
    connection.execute(learning_rounds.insert().values(values))


def begin(connection: Connection, record: RoundRecord, agents: Collection[str]) -> None:
    """Keeps that a round begins, with its cohorts, and who is asked: until it ends, each of them may have spent the window."""
    values = {"state": record.state, "replica_id": record.replica_id, "left_out": record.left_out, "roster_version": record.roster_version}
    connection.execute(update(learning_rounds).where(learning_rounds.c.round_id == record.round_id).values(values))
    cohorts = [{"round_id": record.round_id, "cohort": number, **asdict(cohort)} for number, cohort in enumerate(record.cohorts)]
    connection.execute(learning_cohorts.insert(), cohorts)
    window = record.spent_window
    before, now = asked(connection, window), set(agents)
    rows = [{"window": window, "agent_id": agent, "is_exposed": True} for agent in sorted(now - set(before))]
    if rows:
        connection.execute(learning_asked.insert(), rows)
    _set_exposed(connection, window, now & set(before), True)


def asked(connection: Connection, window: str) -> dict[str, bool]:
    """Returns who was asked for a window, and whether each may have spent it."""
    chosen = select(learning_asked.c.agent_id, learning_asked.c.is_exposed).where(learning_asked.c.window == window)
    return {row[0]: row[1] for row in connection.execute(chosen)}


def forget(connection: Connection, window: str, agents: Collection[str]) -> None:
    """Forgets that agents were asked for a window: nobody has told them."""
    if agents:
        table = learning_asked.c
        statement = learning_asked.delete().where(table.window == window, table.agent_id == bindparam("agent"))
        connection.execute(statement, [{"agent": agent} for agent in agents])


def spare(connection: Connection, window: str, agents: Collection[str]) -> None:
    """Notes that agents, though asked, were not brought to spend a window."""
    _set_exposed(connection, window, agents, False)


def get(connection: Connection, round_id: str) -> RoundRecord | None:
    """Returns one, if there is one."""
    return _one(connection, learning_rounds.c.round_id == round_id)


def of_request(connection: Connection, request_id: str) -> RoundRecord | None:
    """Returns what a request has made, if it was made before."""
    return _one(connection, learning_rounds.c.request_id == request_id)


def page(connection: Connection, before: int | None, size: int) -> list[RoundRecord]:
    """Returns at most `size`, the newest first, behind the number `before`."""
    chosen = select(learning_rounds).order_by(learning_rounds.c.number.desc()).limit(size)
    rows = connection.execute(chosen if before is None else chosen.where(learning_rounds.c.number < before)).mappings()
    return [_record(connection, row) for row in rows.all()]


def of_window(connection: Connection, window: str) -> list[RoundRecord]:
    """Returns the rounds of a window, the oldest first."""
    rows = connection.execute(select(learning_rounds).where(learning_rounds.c.window == window).order_by(learning_rounds.c.number))
    return [_record(connection, row) for row in rows.mappings().all()]


def weeks(connection: Connection, first: str) -> list[str]:
    """Returns the weeks that there are rounds of, the newest first, none before one."""
    week = learning_rounds.c.window
    return list(connection.scalars(select(week).where(week >= first).distinct().order_by(week.desc())))


def next_pending(connection: Connection) -> RoundRecord | None:
    """Returns the oldest round that nobody has taken up."""
    oldest = select(func.min(learning_rounds.c.number)).where(learning_rounds.c.state == PENDING).scalar_subquery()
    return _one(connection, learning_rounds.c.number == oldest)


def replace_cohort(connection: Connection, round_id: str, number: int, record: CohortRecord) -> None:
    """Puts a cohort in the place of the one of its number."""
    table = learning_cohorts.c
    connection.execute(update(learning_cohorts).where(table.round_id == round_id, table.cohort == number).values(asdict(record)))


def end(connection: Connection, round_id: str, state: str, reason: str, now: datetime) -> bool:
    """Ends a round. Returns whether it had not ended before."""
    goes_on = learning_rounds.c.state.in_((PENDING, RUNNING))
    ended = update(learning_rounds).where(learning_rounds.c.round_id == round_id, goes_on)
    return connection.execute(ended.values(state=state, reason=reason, end_time=now)).rowcount > 0


def state_of(connection: Connection, round_id: str) -> str:
    """Returns the state of a round that is there."""
    return str(connection.execute(select(learning_rounds.c.state).where(learning_rounds.c.round_id == round_id)).scalar_one())


def running(connection: Connection) -> list[RoundRecord]:
    """Returns the rounds that have begun and not ended, the oldest first."""
    chosen = select(learning_rounds).where(learning_rounds.c.state == RUNNING).order_by(learning_rounds.c.number)
    return [_record(connection, row) for row in connection.execute(chosen).mappings().all()]


def _set_exposed(connection: Connection, window: str, agents: Collection[str], is_exposed: bool) -> None:
    if agents:
        table = learning_asked.c
        statement = update(learning_asked).where(table.window == window, table.agent_id == bindparam("agent"))
        connection.execute(statement.values(is_exposed=is_exposed), [{"agent": agent} for agent in agents])


def _one(connection: Connection, condition: Any) -> RoundRecord | None:
    row = connection.execute(select(learning_rounds).where(condition)).mappings().one_or_none()
    return None if row is None else _record(connection, row)


def _record(connection: Connection, row: RowMapping) -> RoundRecord:
    """JSON has lists alone."""
    table = learning_cohorts.c
    found = connection.execute(select(learning_cohorts).where(table.round_id == row["round_id"]).order_by(table.cohort)).mappings()
    cohorts = tuple(_cohort({**cohort}) for cohort in found)
    return replace(RoundRecord(**row), group_by=tuple(row["group_by"]), cohorts=cohorts, subject=read_subject(row["subject"]))


def _cohort(values: dict[str, Any]) -> CohortRecord:
    del values["round_id"], values["cohort"]
    return CohortRecord(**values | {"sums": tuple(values["sums"])})
