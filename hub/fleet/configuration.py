"""What is wanted of each agent: the configurations of all its groups, put together."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import chain

from sqlalchemy import Connection

from contract.classification import DataClass
from contract.errors import InvalidRequest, Reason
from hub.fleet import filters
from hub.store import agents, groups
from hub.store.groups import GroupRecord
from seawall.hub.v1 import group_pb2

LOG_LEVELS = ("debug", "info", "warning", "error")


class Merging:
    """Puts together what is wanted of agents.

    Each filter is read once; agents that no filter tells apart are looked at once, and only by the filters that can mean them.

    Args:
        applied: all groups, in the order in which they are applied: the later one wins, field by field.

    Raises:
        InvalidRequest: FILTER_INVALID, a group's expression cannot be read.
    """

    def __init__(self, applied: Sequence[GroupRecord]) -> None:
        self._groups = [(filters.parse(group.expression), group.configuration) for group in applied]
        self._fields = sorted(frozenset().union(*(filters.fields_of(filter_) for filter_, _ in self._groups)))
        self._by_need: defaultdict[tuple[str, str] | None, list[int]] = defaultdict(list)
        for number, (filter_, _) in enumerate(self._groups):
            self._by_need[filters.needed_of(filter_)].append(number)
        self._merged: dict[tuple[str | None, ...], bytes] = {}

    def of(self, labels: Mapping[str, str]) -> bytes:
        """Returns the Configuration, serialised, for an agent of these labels."""
        fields = {f"labels.{key}": value for key, value in labels.items()}
        key = tuple(fields.get(field) for field in self._fields)
        if key not in self._merged:
            self._merged[key] = self._merge(fields)
        return self._merged[key]

    def _merge(self, fields: filters.Fields) -> bytes:
        result = group_pb2.Configuration()
        for number in sorted(chain.from_iterable(self._by_need.get(need, ()) for need in (None, *fields.items()))):
            filter_, configuration = self._groups[number]
            if filter_.matches(fields):
                result.MergeFromString(configuration)
        return result.SerializeToString(deterministic=True)


def refresh(connection: Connection, now: datetime, agent_id: str | None = None) -> list[str]:
    """Works out anew what is wanted of one agent, or of all.

    A generation is at least the seconds since 1970, so that a hub that was restored from a backup never uses one again for something else.

    Returns:
        the ids of the agents of which something else is wanted than before.
    """
    merging = Merging(groups.everything(connection))
    changes = []
    for agent, labels, before, generation in agents.wanted(connection, agent_id):
        after = merging.of(labels)
        if after != before:
            changes.append((agent, after, next_generation(generation, now)))
    agents.set_configurations(connection, changes)
    return [agent for agent, _, _ in changes]


def next_generation(generation: int, now: datetime) -> int:
    """Returns the generation after one."""
    return max(generation + 1, int(now.timestamp()))


def check(configuration: group_pb2.Configuration) -> None:
    """Checks what an operator wants.

    Raises:
        InvalidRequest: FIELD_INVALID.
    """
    classes = [item.name.lower() for item in DataClass]
    if configuration.HasField("floor") and configuration.floor not in classes:
        raise _invalid(f"floor must be one of {', '.join(classes)}")
    if configuration.HasField("trust_bar") and not 0 <= configuration.trust_bar <= 1:
        raise _invalid("trust_bar must be from 0 to 1")
    if configuration.HasField("max_output_tokens") and configuration.max_output_tokens < 1:
        raise _invalid("max_output_tokens must be at least 1")
    if configuration.HasField("log_level") and configuration.log_level not in LOG_LEVELS:
        raise _invalid(f"log_level must be one of {', '.join(LOG_LEVELS)}")


def _invalid(why: str) -> InvalidRequest:
    return InvalidRequest(Reason.FIELD_INVALID, f"The configuration cannot be used: {why}.")
