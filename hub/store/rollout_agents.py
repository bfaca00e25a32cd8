"""The agents that rollouts have chosen, what each was told, and how far it says to be."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    and_,
    bindparam,
    case,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    update,
)

from hub.store.agents import ACTIVE
from hub.store.rollout_states import FAILURES, GIVE_BACK, PROVEN, TAKE, UNFINISHED
from hub.store.tables import agents, rollout_agents, rollouts

CHUNK = 500
"""Agents named in one statement."""

Alike = tuple[int, str, str, bool, bool, bool, bool, int]
"""Wave, action, state, failed, counts, is reached, is late, how many."""

_ROW = rollout_agents.c
_THIS = (_ROW.rollout_id == bindparam("of_rollout"), _ROW.agent_id == bindparam("of_agent"))


@dataclass(frozen=True, slots=True)
class RolloutAgentRecord:
    """One row.

    Args:
        wave: the agent's.
        action: what it was told last.
        choose_time: when it was first told.
        reach_time: its first session since it was told; None: it had none.
        state: of its last report; empty: none has come.
        failed: whether it has refused the version, or gone back from it by itself.
        report: the last one, serialised.
    """

    rollout_id: str
    agent_id: str
    wave: int
    action: str
    choose_time: datetime
    reach_time: datetime | None = None
    state: str = ""
    failed: bool = False
    report: bytes | None = None
    report_time: datetime | None = None

    def is_stuck(self, late_before: datetime) -> bool:
        """Says whether it was reached no later than that, and has not ended what it was told."""
        has_ended = self.failed or self.state in (FAILURES if self.action == GIVE_BACK else {PROVEN})
        return not has_ended and self.reach_time is not None and self.reach_time <= late_before


@dataclass(frozen=True, slots=True)
class Free:
    """An active agent that a rollout has not chosen.

    Args:
        is_connected: whether a process of the hub holds its session.
        is_busy: whether an older rollout that goes on still waits for it.
    """

    agent_id: str
    labels: Mapping[str, str]
    is_connected: bool
    is_busy: bool


def insert(connection: Connection, records: Sequence[RolloutAgentRecord]) -> None:
    """Adds agents to a rollout."""
    connection.execute(rollout_agents.insert(), [asdict(record) for record in records])


def get(connection: Connection, rollout_id: str, agent_id: str) -> RolloutAgentRecord | None:
    """Returns one, if the rollout has chosen it."""
    chosen = select(rollout_agents).where(*_THIS)
    row = connection.execute(chosen, {"of_rollout": rollout_id, "of_agent": agent_id}).mappings().one_or_none()
    return None if row is None else _record(row)


def page(connection: Connection, rollout_id: str, after: str, size: int, states: Collection[str]) -> list[RolloutAgentRecord]:
    """Returns at most `size` agents of a rollout behind an id, in their order; in these states, or none: in any."""
    chosen = select(rollout_agents).where(_ROW.rollout_id == rollout_id, _ROW.agent_id > after).order_by(_ROW.agent_id).limit(size)
    return [_record(row) for row in connection.execute(chosen.where(_ROW.state.in_(states)) if states else chosen).mappings()]


def keep_report(connection: Connection, record: RolloutAgentRecord) -> None:
    """Keeps what an agent has said, and that it was reached."""
    values = {"state": record.state, "failed": record.failed, "report": record.report, "report_time": record.report_time}
    statement = update(rollout_agents).where(*_THIS).values(**values, reach_time=func.coalesce(_ROW.reach_time, record.report_time))
    connection.execute(statement, {"of_rollout": record.rollout_id, "of_agent": record.agent_id})


def reach(connection: Connection, rollout_id: str, agent_id: str, now: datetime) -> bool:
    """Notes that an agent has a session. Returns whether it is the first one since it was told."""
    statement = update(rollout_agents).where(*_THIS, _ROW.reach_time.is_(None)).values(reach_time=now)
    return connection.execute(statement, {"of_rollout": rollout_id, "of_agent": agent_id}).rowcount == 1


def alike(connection: Connection, rollout_id: str, late_before: Sequence[datetime]) -> list[Alike]:
    """Counts a rollout's agents that are alike.

    Args:
        connection: of the transaction.
        rollout_id: whose.
        late_before: for each wave: who was reached no later has had its time.

    Returns:
        how many are alike in all of this. One counts that is active, and was told nothing by a newer rollout since.
    """
    one = select(
        _ROW.wave,
        _ROW.action,
        _ROW.state,
        _ROW.failed,
        _counts().label("counts"),
        _ROW.reach_time.is_not(None).label("is_reached"),
        _late(late_before).label("is_late"),
    )
    one_agent = one.join(agents, agents.c.agent_id == _ROW.agent_id).where(_ROW.rollout_id == rollout_id).subquery()
    columns = list(one_agent.c)
    found = connection.execute(select(*columns, func.count()).group_by(*columns))
    return [(row[0], row[1], row[2], bool(row[3]), bool(row[4]), bool(row[5]), bool(row[6]), row[7]) for row in found]


def counting(connection: Connection, rollout_id: str) -> list[tuple[int, int]]:
    """Returns how many agents of each wave count, by wave."""
    chosen = select(_ROW.wave, func.count()).join(agents, agents.c.agent_id == _ROW.agent_id)
    return [(row[0], row[1]) for row in connection.execute(chosen.where(_ROW.rollout_id == rollout_id, _counts()).group_by(_ROW.wave))]


def example(
    connection: Connection, rollout_id: str, wave: int, *, failed: bool, late_before: datetime | None = None, ended: Collection[str] = ()
) -> RolloutAgentRecord | None:
    """Returns one agent of a wave: that has failed, or that counts and has not ended though its time is over."""
    chosen = select(rollout_agents).join(agents, agents.c.agent_id == _ROW.agent_id)
    chosen = chosen.where(_ROW.rollout_id == rollout_id, _ROW.wave == wave, _ROW.failed == failed)
    if late_before is not None:
        chosen = chosen.where(_counts(), _ROW.reach_time <= late_before, _ROW.state.not_in(ended))
    row = connection.execute(chosen.order_by(_ROW.report_time, _ROW.agent_id).limit(1)).mappings().one_or_none()
    return None if row is None else _record(row)


def reports(connection: Connection, rollout_id: str, wave: int, state: str) -> list[bytes]:
    """Returns the reports of a wave's active agents that are in this state and have not failed, whatever they were told of since."""
    chosen = select(_ROW.report).join(agents, agents.c.agent_id == _ROW.agent_id)
    chosen = chosen.where(agents.c.state == ACTIVE, _ROW.failed.is_(False))
    found = connection.scalars(chosen.where(_ROW.rollout_id == rollout_id, _ROW.wave == wave, _ROW.state == state))
    return [report for report in found if report is not None]


def free(connection: Connection, rollout_id: str, number: int, ids: Collection[str] | None) -> Iterator[Free]:
    """Yields active agents that a rollout has not chosen and no newer one has.

    Args:
        connection: of the transaction.
        rollout_id: the rollout.
        number: its own.
        ids: of these agents; None: of all.
    """
    is_chosen = exists().where(_ROW.rollout_id == rollout_id, _ROW.agent_id == agents.c.agent_id)
    held = rollout_agents.alias("held")
    is_held = and_(held.c.rollout_id == agents.c.release_rollout, held.c.agent_id == agents.c.agent_id)
    has_ended = or_(held.c.failed, held.c.state.in_(FAILURES), and_(held.c.action == TAKE, held.c.state == PROVEN))
    waits = and_(rollouts.c.state.in_(UNFINISHED), ~has_ended)
    chosen = (
        select(agents.c.agent_id, agents.c.labels, agents.c.replica_id.is_not(None), func.coalesce(waits, false()))
        .outerjoin(rollouts, rollouts.c.rollout_id == agents.c.release_rollout)
        .outerjoin(held, is_held)
        .where(agents.c.state == ACTIVE, ~is_chosen, or_(rollouts.c.number.is_(None), rollouts.c.number < number))
    )
    for chunk in _chunks(ids):
        found = connection.execute(chosen if chunk is None else chosen.where(agents.c.agent_id.in_(chunk)))
        yield from (Free(row[0], row[1], bool(row[2]), bool(row[3])) for row in found)


def told_by(connection: Connection, rollout_id: str, action: str, states: Collection[str]) -> list[str]:
    """Returns the agents that a rollout has told to do this, who say that, and whom no newer one has told anything since."""
    chosen = select(_ROW.agent_id).join(agents, agents.c.agent_id == _ROW.agent_id)
    chosen = chosen.where(_ROW.rollout_id == rollout_id, _ROW.action == action, _ROW.state.in_(states))
    return list(connection.scalars(chosen.where(agents.c.release_rollout == rollout_id).order_by(_ROW.agent_id)))


def tell(connection: Connection, rollout_id: str, agent_ids: Iterable[str], action: str, now: datetime) -> None:
    """Notes that chosen agents are told something else; those that have a session are reached with it."""
    is_connected = exists().where(agents.c.agent_id == _ROW.agent_id, agents.c.replica_id.is_not(None))
    values = {"action": action, "reach_time": case((is_connected, literal(now, _ROW.reach_time.type)), else_=None)}
    for chunk in _chunks(agent_ids):
        connection.execute(update(rollout_agents).where(_ROW.rollout_id == rollout_id, _ROW.agent_id.in_(chunk or ())).values(values))


def want(connection: Connection, rollout_id: str, agent_ids: Iterable[str], release: bytes) -> None:
    """Sets what a rollout wants of agents now; empty: nothing any more."""
    values = {"release": release, "release_rollout": rollout_id, "release_number": agents.c.release_number + 1}
    for chunk in _chunks(agent_ids):
        connection.execute(update(agents).where(agents.c.agent_id.in_(chunk or ())).values(values))


def still_wanted(connection: Connection, rollout_id: str, state: str, action: str) -> list[str]:
    """Returns the agents in a state that were told to do this, and of which the rollout still wants it."""
    chosen = select(_ROW.agent_id).join(agents, agents.c.agent_id == _ROW.agent_id)
    chosen = chosen.where(_ROW.rollout_id == rollout_id, _ROW.state == state, _ROW.action == action)
    return list(connection.scalars(chosen.where(agents.c.release_rollout == rollout_id, agents.c.release != b"")))


def _counts() -> ColumnElement[bool]:
    return and_(agents.c.state == ACTIVE, agents.c.release_rollout == _ROW.rollout_id)


def _late(late_before: Sequence[datetime]) -> ColumnElement[bool]:
    times = [(_ROW.wave == wave, _ROW.reach_time <= literal(time, _ROW.reach_time.type)) for wave, time in enumerate(late_before)]
    return func.coalesce(case(*times, else_=false()), false())


def _chunks(agent_ids: Iterable[str] | None) -> Iterator[list[str] | None]:
    """Parts that a statement can name; None alone: all of them."""
    if agent_ids is None:
        yield None
        return
    listed = sorted(agent_ids)
    for start in range(0, len(listed), CHUNK):
        yield listed[start : start + CHUNK]


def _record(row: RowMapping) -> RolloutAgentRecord:
    return RolloutAgentRecord(**row)
