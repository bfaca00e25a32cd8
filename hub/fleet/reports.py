"""What agents say over their sessions: of themselves, of their configuration, of their commands."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from contract.errors import InvalidRequest, Reason
from contract.identity import agent_name
from hub.clock import Clock
from hub.fleet import member_keys
from hub.fleet.configuration import next_generation
from hub.fleet.directory import check_admitted, find
from hub.fleet.events import Journal
from hub.fleet.messages import command_name
from hub.store import agents, commands, rollout_agents
from hub.store.agents import AgentRecord
from hub.store.commands import BEGUN, FAILED, SUCCEEDED
from hub.store.events import NewEvent
from hub.store.signals import Topic, signal
from seawall.hub.v1 import command_pb2, session_pb2
from seawall.hub.v1.agent_pb2 import AgentReport, MemberKey

MAX_OUTPUT_CHARACTERS = 256 * 1024
"""Of a command; what is above is cut off. A thousand log lines have half of that."""

MAX_REFUSAL_CHARACTERS = 1000
MAX_REPORT_BYTES = 4096
MAX_GENERATION = 2**62 - 1
"""That an agent may say it has: so many generations above it that the store can count on. An honest one has seconds since 1970."""


class Reports:
    """Keeps what agents say.

    Args:
        journal: told of it, and writes it down.
        replica_id: of this process of the hub.
        clock: the time, in UTC.
    """

    def __init__(self, journal: Journal, replica_id: str, clock: Clock) -> None:
        self._journal = journal
        self._replica_id = replica_id
        self._clock = clock

    async def greeted(self, agent_id: str, key_hash: str, hello: session_pb2.Hello) -> None:
        """Keeps what an agent says as it connects, and that this process holds its session now.

        Raises:
            InvalidRequest: SESSION_INVALID, it says too much, or a generation that cannot be.
            NotPermitted: it was shut out since its call was let in.
        """
        _check_generation(hello.applied_generation)
        said = _Said(_serialised(hello.report), hello.report.member_key)
        work = partial(_greeted, agent_id, key_hash, said, hello.applied_generation, self._replica_id, self._clock())
        await self._journal.write(work)

    async def reported(self, agent_id: str, message: AgentReport) -> None:
        """Keeps what an agent says of itself while it is connected.

        Raises:
            InvalidRequest: SESSION_INVALID, it says too much.
        """
        said = _Said(_serialised(message), message.member_key)
        await self._journal.write(partial(_reported, agent_id, said, self._clock()))

    async def configured(self, agent_id: str, outcome: session_pb2.ConfigurationOutcome) -> None:
        """Keeps whether an agent applied what is wanted of it.

        Raises:
            InvalidRequest: SESSION_INVALID, it is of a generation that cannot be.
        """
        _check_generation(outcome.generation)
        await self._journal.write(partial(_configured, agent_id, outcome, self._clock()))

    async def commanded(self, agent_id: str, command_id: str, outcome: session_pb2.CommandOutcome) -> None:
        """Keeps what came of a command. The agent's word counts, even of one that was cancelled or has expired here meanwhile.

        Raises:
            InvalidRequest: SESSION_INVALID, it is no state that an agent reports.
        """
        state = command_pb2.Command.State.Name(outcome.state) if outcome.state in command_pb2.Command.State.values() else ""
        if state not in (BEGUN, SUCCEEDED, FAILED):
            raise InvalidRequest(Reason.SESSION_INVALID, "The outcome of a command is BEGUN, SUCCEEDED or FAILED.")
        await self._journal.write(partial(_commanded, agent_id, command_id, outcome, state, self._clock()))


@dataclass(frozen=True, slots=True)
class _Said:
    """What an agent says of itself.

    Args:
        report: that is kept, serialised: the same for agents that are alike, as the census counts them.
        member_key: kept beside it.
    """

    report: bytes
    member_key: MemberKey


def _serialised(message: AgentReport) -> bytes:
    report = AgentReport()
    report.CopyFrom(message)
    report.ClearField("member_key")
    content = report.SerializeToString(deterministic=True)
    if len(content) > MAX_REPORT_BYTES:
        raise InvalidRequest(Reason.SESSION_INVALID, f"A report has at most {MAX_REPORT_BYTES} bytes.")
    return content


def _check_generation(generation: int) -> None:
    """One agent's number must not use up those of all: the hub counts on from the highest that it is told."""
    if generation > MAX_GENERATION:
        raise InvalidRequest(Reason.SESSION_INVALID, f"A generation is at most {MAX_GENERATION}.")


def _greeted(
    agent_id: str, key_hash: str, said: _Said, applied: int, replica_id: str, now: datetime, connection: Connection
) -> tuple[None, Sequence[NewEvent]]:
    record = find(agent_id, connection)
    check_admitted(record, key_hash)
    changes: dict[str, object] = {}
    if record.report != said.report:
        changes["report"] = said.report
    if record.applied_generation != applied:
        changes["applied_generation"] = applied
    if record.refusal and applied == record.desired_generation:  # its word of it was lost
        changes["refusal"] = ""
    if applied > record.desired_generation:  # this hub's store is older than what the agent was told
        changes["desired_generation"] = next_generation(applied, now)
    if record.replica_id != replica_id:
        changes["replica_id"] = replica_id
        if record.replica_id is not None:
            signal(connection, Topic.AGENTS, [agent_id])  # its session elsewhere ends
    if changes:
        agents.change(connection, agent_id, **changes)
    if record.release_rollout and rollout_agents.reach(connection, record.release_rollout, agent_id, now):
        signal(connection, Topic.ROLLOUTS)
    return None, _events_of(record, said, now, connection)


def _reported(agent_id: str, said: _Said, now: datetime, connection: Connection) -> tuple[None, Sequence[NewEvent]]:
    record = find(agent_id, connection)
    if record.report != said.report:
        agents.change(connection, agent_id, report=said.report)
    return None, _events_of(record, said, now, connection)


def _events_of(record: AgentRecord, said: _Said, now: datetime, connection: Connection) -> Sequence[NewEvent]:
    """Keeps the member key too."""
    keys = member_keys.keep(record, said.member_key, now, connection)
    return [*_policy_events(record.agent_id, record.report, said.report, now), *keys]


def _policy_events(agent_id: str, before: bytes | None, after: bytes, now: datetime) -> Sequence[NewEvent]:
    """An operator is to see that an agent's policy is another one, and that it has refused one."""
    if before == after:
        return []
    old, new = AgentReport.FromString(before or b""), AgentReport.FromString(after)
    events = []
    if before is not None and old.policy_digest != new.policy_digest:
        detail = f"{new.policy or 'its own'}: {new.policy_digest}"[:MAX_REFUSAL_CHARACTERS]
        events.append(NewEvent(now, "POLICY_CHANGED", agent_name(agent_id), detail=detail))
    if new.policy_trouble and old.policy_trouble != new.policy_trouble:
        events.append(NewEvent(now, "POLICY_REFUSED", agent_name(agent_id), detail=new.policy_trouble[:MAX_REFUSAL_CHARACTERS]))
    return events


def _configured(
    agent_id: str, outcome: session_pb2.ConfigurationOutcome, now: datetime, connection: Connection
) -> tuple[None, Sequence[NewEvent]]:
    refusal = outcome.refusal[:MAX_REFUSAL_CHARACTERS]
    record = find(agent_id, connection)
    if not refusal and record.applied_generation != outcome.generation:
        agents.change(connection, agent_id, applied_generation=outcome.generation)
    if outcome.generation != record.desired_generation:
        return None, []  # of an older one: a newer is under way
    if record.refusal != refusal:
        agents.change(connection, agent_id, refusal=refusal)
    elif refusal or record.applied_generation == outcome.generation:
        return None, []  # said before
    kind = "CONFIGURATION_REFUSED" if refusal else "CONFIGURATION_APPLIED"
    return None, [NewEvent(now, kind, agent_name(agent_id), detail=refusal or f"Generation {outcome.generation}.")]


def _commanded(
    agent_id: str, command_id: str, outcome: session_pb2.CommandOutcome, state: str, now: datetime, connection: Connection
) -> tuple[None, Sequence[NewEvent]]:
    record = commands.get(connection, agent_id, command_id)
    if record is None or record.state in (SUCCEEDED, FAILED, state):
        return None, []
    if state == BEGUN:
        commands.change(connection, agent_id, command_id, state=BEGUN, begin_time=now, end_time=None)
        return None, []
    commands.change(
        connection,
        agent_id,
        command_id,
        state=state,
        begin_time=record.begin_time or now,
        end_time=now,
        output=outcome.output[:MAX_OUTPUT_CHARACTERS],
        error=outcome.error[:MAX_REFUSAL_CHARACTERS],
    )
    return None, [NewEvent(now, "COMMAND_ENDED", command_name(agent_id, command_id), detail=f"{record.action} {state}.")]
