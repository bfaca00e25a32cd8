"""seawall.hub.v1.RolloutService."""

import re
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from typing import Any, Protocol

import grpc.aio

from contract.errors import InvalidRequest, Reason
from hub.api.fields import read_request_id
from hub.api.identity import actor
from hub.api.paging import fitting, page_size, page_token, read_number_token, read_page_token
from hub.api.rollout_messages import rollout_agent_message, rollout_message
from hub.release.rollouts import By, Rollouts
from seawall.hub.v1 import rollout_pb2, rollout_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

_ROLLOUT_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class _Move(Protocol):
    """A request that moves a rollout."""

    @property
    def etag(self) -> str: ...

    @property
    def reason(self) -> str: ...


class RolloutServicer(rollout_pb2_grpc.RolloutServiceServicer):
    """Shows rollouts, and moves them.

    Args:
        rollouts: all of them.
        trust_domain: of those who move them.
    """

    def __init__(self, rollouts: Rollouts, trust_domain: str) -> None:
        self._rollouts = rollouts
        self._trust_domain = trust_domain

    async def GetRollout(self, request: rollout_pb2.GetRolloutRequest, context: Context) -> rollout_pb2.Rollout:  # noqa: N802
        """See the proto."""
        del context
        return rollout_message(await self._rollouts.get(_read_name(request.name)))

    async def ListRollouts(  # noqa: N802  # the proto's name
        self, request: rollout_pb2.ListRolloutsRequest, context: Context
    ) -> rollout_pb2.ListRolloutsResponse:
        """See the proto."""
        del context
        size = page_size(request.page_size)
        found = await self._rollouts.page(read_number_token(request.page_token), size + 1)
        shown = fitting(rollout_message(one) for one in found[:size])
        return rollout_pb2.ListRolloutsResponse(
            rollouts=shown,
            next_page_token=page_token(str(found[len(shown) - 1].record.number)) if len(found) > len(shown) else "",
        )

    async def ListRolloutAgents(  # noqa: N802  # the proto's name
        self, request: rollout_pb2.ListRolloutAgentsRequest, context: Context
    ) -> rollout_pb2.ListRolloutAgentsResponse:
        """See the proto."""
        del context
        rollout_id, size = _read_name(request.parent), page_size(request.page_size)
        states = _read_states(request.states)
        found, stuck = await self._rollouts.agents(rollout_id, read_page_token(request.page_token), size + 1, states)
        shown = fitting(rollout_agent_message(one, is_stuck=one.agent_id in stuck) for one in found[:size])
        return rollout_pb2.ListRolloutAgentsResponse(
            rollout_agents=shown,
            next_page_token=page_token(found[len(shown) - 1].agent_id) if len(found) > len(shown) else "",
        )

    async def CreateRollout(  # noqa: N802  # the proto's name
        self, request: rollout_pb2.CreateRolloutRequest, context: Context
    ) -> rollout_pb2.Rollout:
        """See the proto."""
        del context
        rollout_id = _read_name(f"rollouts/{request.rollout_id}")
        request_id = read_request_id(request.request_id)
        return rollout_message(await self._rollouts.create(rollout_id, request.rollout, request_id, actor(self._trust_domain)))

    async def PauseRollout(self, request: rollout_pb2.PauseRolloutRequest, context: Context) -> rollout_pb2.Rollout:  # noqa: N802
        """See the proto."""
        del context
        return rollout_message(await self._rollouts.pause(_read_name(request.name), self._by(request)))

    async def ResumeRollout(self, request: rollout_pb2.ResumeRolloutRequest, context: Context) -> rollout_pb2.Rollout:  # noqa: N802
        """See the proto."""
        del context
        return rollout_message(await self._rollouts.resume(_read_name(request.name), self._by(request)))

    async def ApproveRollout(  # noqa: N802  # the proto's name
        self, request: rollout_pb2.ApproveRolloutRequest, context: Context
    ) -> rollout_pb2.Rollout:
        """See the proto."""
        del context
        return rollout_message(await self._rollouts.approve(_read_name(request.name), request.wave, self._by(request)))

    async def CancelRollout(self, request: rollout_pb2.CancelRolloutRequest, context: Context) -> rollout_pb2.Rollout:  # noqa: N802
        """See the proto."""
        del context
        return rollout_message(await self._rollouts.cancel(_read_name(request.name), self._by(request)))

    async def RollBackRollout(  # noqa: N802  # the proto's name
        self, request: rollout_pb2.RollBackRolloutRequest, context: Context
    ) -> rollout_pb2.Rollout:
        """See the proto."""
        del context
        return rollout_message(await self._rollouts.roll_back(_read_name(request.name), self._by(request)))

    async def WatchRollout(  # noqa: N802  # the proto's name
        self, request: rollout_pb2.WatchRolloutRequest, context: Context
    ) -> AsyncIterator[rollout_pb2.Rollout]:
        """See the proto."""
        del context
        async with aclosing(self._rollouts.watch(_read_name(request.name))) as seen:
            async for shown in seen:
                yield rollout_message(shown)

    def _by(self, request: _Move) -> By:
        return By(actor(self._trust_domain), request.reason, request.etag)


def _read_name(name: str) -> str:
    collection, _, rollout_id = name.partition("/")
    if collection != "rollouts" or not _ROLLOUT_ID.fullmatch(rollout_id):
        raise InvalidRequest(
            Reason.NAME_INVALID, f"'{name[:80]}' is no rollout's name: use rollouts/ID, of 1 to 63 of a-z, 0-9 and '-', not '-' first."
        )
    return rollout_id


def _read_states(numbers: Iterable[rollout_pb2.ReleaseReport.State.ValueType]) -> list[str]:
    states = rollout_pb2.ReleaseReport.State
    wanted = set(numbers)
    if not wanted <= set(states.values()) - {rollout_pb2.ReleaseReport.STATE_UNSPECIFIED}:
        raise InvalidRequest(Reason.FIELD_INVALID, "states are those of a report, such as PROVEN or REFUSED.")
    return [states.Name(number) for number in sorted(wanted)]
