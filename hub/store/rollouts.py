"""Rollouts: what was wanted, and where each stands."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, RowMapping, func, or_, select, update

from hub.store.rollout_states import UNFINISHED
from hub.store.tables import rollouts

Times = tuple[tuple[str | None, str | None, str | None], ...]
"""Of each wave: when it began, was settled, was through; ISO 8601."""


@dataclass(frozen=True, slots=True)
class RolloutRecord:
    """One row.

    Args:
        rollout_id: its id.
        model: the id of the version's model.
        wanted: a Rollout with what its maker has filled in, serialised.
        state: a name of Rollout.State.
        times: of each wave.
        members: how many active agents each wave has, as last counted.
        creator: a SPIFFE id.
        reason: why it is in this state; empty: nothing has happened.
        mover: who brought it into this state, a SPIFFE id; empty: it came to it by itself.
        current_wave: the one that goes on, or is next.
        approved_wave: the last one that a person let begin; -1: none.
        forgiven_wave: the one whose stuck agents a person has forgiven; -1: none.
        end_time: None: it goes on.
        revision: counts changes of where it stands.
        request_id: of the request that made it.
        number: rises from one rollout to the next; None: not kept yet.
    """

    rollout_id: str
    model: str
    wanted: bytes
    state: str
    times: Times
    members: tuple[int, ...]
    creator: str
    create_time: datetime
    update_time: datetime
    reason: str = ""
    mover: str = ""
    current_wave: int = 0
    approved_wave: int = -1
    forgiven_wave: int = -1
    end_time: datetime | None = None
    revision: int = 1
    request_id: str = ""
    number: int | None = None


def insert(connection: Connection, record: RolloutRecord) -> None:
    """Adds a rollout."""
    values = asdict(record)
    del values["number"]
    connection.execute(rollouts.insert().values(values))


def get(connection: Connection, rollout_id: str) -> RolloutRecord | None:
    """Returns one, if there is one."""
    row = connection.execute(select(rollouts).where(rollouts.c.rollout_id == rollout_id)).mappings().one_or_none()
    return None if row is None else _record(row)


def page(connection: Connection, before: int | None, size: int) -> list[RolloutRecord]:
    """Returns at most `size`, the newest first, behind the number `before`."""
    chosen = select(rollouts).order_by(rollouts.c.number.desc()).limit(size)
    return [_record(row) for row in connection.execute(chosen if before is None else chosen.where(rollouts.c.number < before)).mappings()]


def of_model(connection: Connection, model: str, states: Collection[str]) -> RolloutRecord | None:
    """Returns the newest of a model that is in one of these states."""
    chosen = select(rollouts).where(rollouts.c.model == model, rollouts.c.state.in_(states)).order_by(rollouts.c.number.desc()).limit(1)
    row = connection.execute(chosen).mappings().one_or_none()
    return None if row is None else _record(row)


def newest_number(connection: Connection, model: str) -> int:
    """Returns the number of a model's newest rollout."""
    return connection.scalar(select(func.max(rollouts.c.number)).where(rollouts.c.model == model)) or 0


def living(connection: Connection) -> list[RolloutRecord]:
    """Returns those that may still tell agents something: the unfinished ones, and the newest of each model. The oldest first."""
    newest = select(func.max(rollouts.c.number)).group_by(rollouts.c.model)
    chosen = select(rollouts).where(or_(rollouts.c.state.in_(UNFINISHED), rollouts.c.number.in_(newest))).order_by(rollouts.c.number)
    return [_record(row) for row in connection.execute(chosen).mappings()]


def replace(connection: Connection, record: RolloutRecord) -> None:
    """Puts a rollout in the place of the one of the same id."""
    connection.execute(update(rollouts).where(rollouts.c.rollout_id == record.rollout_id).values(asdict(record)))


def set_members(connection: Connection, rollout_id: str, members: tuple[int, ...]) -> None:
    """Notes how many active agents each wave has."""
    connection.execute(update(rollouts).where(rollouts.c.rollout_id == rollout_id).values(members=members))


def _record(row: RowMapping) -> RolloutRecord:
    """JSON has lists alone."""
    values = dict(row)
    times = tuple((begin, settle, end) for begin, settle, end in values.pop("times"))
    return RolloutRecord(times=times, members=tuple(values.pop("members")), **values)
