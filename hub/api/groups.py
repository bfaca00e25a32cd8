"""seawall.hub.v1.GroupService."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import grpc.aio

from contract.errors import InvalidRequest, Reason
from contract.identity import AGENT_ID
from hub.api.fields import read_request_id
from hub.api.identity import actor
from hub.api.paging import fitting, page_size, page_token, read_number_token
from hub.fleet.groups import Groups, Wanted
from hub.fleet.messages import timestamp
from hub.fleet.quotas import Quota, Quotas
from hub.store.groups import GroupRecord
from hub.store.quotas import Spent
from seawall.hub.v1 import group_pb2, group_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

_CHANGEABLE = ("expression", "priority", "configuration", "quota")


class GroupServicer(group_pb2_grpc.GroupServiceServicer):
    """Shows groups, and changes them.

    Args:
        groups: all of them.
        quotas: what is spent.
        trust_domain: of those who change them.
    """

    def __init__(self, groups: Groups, quotas: Quotas, trust_domain: str) -> None:
        self._groups = groups
        self._quotas = quotas
        self._trust_domain = trust_domain

    async def GetGroup(self, request: group_pb2.GetGroupRequest, context: Context) -> group_pb2.Group:  # noqa: N802  # the proto's name
        """See the proto."""
        del context
        return await self._shown(await self._groups.get(_read_name(request.name)))

    async def ListGroups(  # noqa: N802  # the proto's name
        self, request: group_pb2.ListGroupsRequest, context: Context
    ) -> group_pb2.ListGroupsResponse:
        """See the proto. The token is the place in the list: there are few groups."""
        del context
        start = read_number_token(request.page_token) or 0
        records = await self._groups.everything()
        shown = fitting(await self._all_shown(records[start : start + page_size(request.page_size)]))
        end = start + len(shown)
        return group_pb2.ListGroupsResponse(
            groups=shown,
            next_page_token=page_token(str(end)) if end < len(records) else "",
        )

    async def CreateGroup(self, request: group_pb2.CreateGroupRequest, context: Context) -> group_pb2.Group:  # noqa: N802  # the proto's name
        """See the proto."""
        del context
        group_id = _read_name(f"groups/{request.group_id}")
        request_id = read_request_id(request.request_id)
        return await self._shown(await self._groups.create(group_id, _read(request.group), request_id, actor(self._trust_domain)))

    async def UpdateGroup(self, request: group_pb2.UpdateGroupRequest, context: Context) -> group_pb2.Group:  # noqa: N802  # the proto's name
        """See the proto."""
        del context
        paths = _read_paths(request)
        new = _read(request.group)

        def change(before: Wanted) -> Wanted:
            return Wanted(*(getattr(new if name in paths else before, name) for name in _CHANGEABLE))

        group_id = _read_name(request.group.name)
        return await self._shown(await self._groups.update(group_id, change, request.group.etag, actor(self._trust_domain)))

    async def DeleteGroup(  # noqa: N802  # the proto's name
        self, request: group_pb2.DeleteGroupRequest, context: Context
    ) -> group_pb2.DeleteGroupResponse:
        """See the proto."""
        del context
        await self._groups.delete(_read_name(request.name), request.etag, actor(self._trust_domain))
        return group_pb2.DeleteGroupResponse()

    async def _shown(self, record: GroupRecord) -> group_pb2.Group:
        return (await self._all_shown([record]))[0]

    async def _all_shown(self, records: Sequence[GroupRecord]) -> list[group_pb2.Group]:
        spent, reset_time = await self._quotas.spent([record.group_id for record in records if record.has_quota])
        return [_message(record, spent.get(record.group_id, Spent()), reset_time) for record in records]


def _read(group: group_pb2.Group) -> Wanted:
    escalations = group.quota.escalations_per_day if group.quota.HasField("escalations_per_day") else None
    tokens = group.quota.tokens_per_day if group.quota.HasField("tokens_per_day") else None
    return Wanted(group.expression, group.priority, group.configuration, Quota(escalations, tokens))


def _read_paths(request: group_pb2.UpdateGroupRequest) -> frozenset[str]:
    """What is to be changed (AIP-134): without a mask, the fields that are filled in; `*` means all."""
    paths, changeable = frozenset(request.update_mask.paths), frozenset(_CHANGEABLE)
    if "*" in paths:
        return changeable
    if paths - changeable:
        raise InvalidRequest(Reason.FIELD_INVALID, f"Of a group, these can be changed: {', '.join(sorted(_CHANGEABLE))}; '*': all of them.")
    return paths or changeable & {field.name for field, _ in request.group.ListFields()}


def _read_name(name: str) -> str:
    collection, _, group_id = name.partition("/")
    if collection != "groups" or not AGENT_ID.fullmatch(group_id):
        raise InvalidRequest(
            Reason.NAME_INVALID, f"'{name[:80]}' is no group's name: use groups/ID, of 1 to 63 of a-z, 0-9 and '-', not '-' at either end."
        )
    return group_id


def _message(record: GroupRecord, spent: Spent, reset_time: datetime) -> group_pb2.Group:
    message = group_pb2.Group(
        name=f"groups/{record.group_id}",
        expression=record.expression,
        priority=record.priority,
        configuration=group_pb2.Configuration.FromString(record.configuration),
        create_time=timestamp(record.create_time),
        update_time=timestamp(record.update_time),
        etag=str(record.revision),
    )
    if record.has_quota:
        message.quota.CopyFrom(group_pb2.Quota(escalations_per_day=record.escalations_per_day, tokens_per_day=record.tokens_per_day))
        usage = group_pb2.QuotaUsage(escalations=spent.escalations, tokens=spent.tokens, reset_time=timestamp(reset_time))
        message.quota_usage.CopyFrom(usage)
    return message
