"""The hub's own reading, ruling and routing behind the agent's own escalator, with no network between: what crosses is kept as bytes."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from contract.errors import SeawallError
from contract.policy import Policy
from contract.surroundings import Hub
from hub.api.escalation import read_escalation
from hub.config import Limits
from hub.escalation.admission import Admission
from hub.escalation.circuits import Circuits
from hub.escalation.metering import Meter
from hub.escalation.prompts import TextDelta
from hub.escalation.providers.base import Provider
from hub.escalation.router import Router
from hub.escalation.ruling import Ruling
from seawall.hub.v1 import escalation_pb2 as pb


@dataclass(frozen=True)
class Record:
    """An agent, as the operator has labelled it."""

    labels: Mapping[str, str]


@dataclass(frozen=True)
class Everyone:
    """A directory in which every agent has the same labels."""

    labels: Mapping[str, str]

    async def get(self, agent_id: str) -> Record:
        del agent_id
        return Record(self.labels)


class HubInProcess:
    """Stands where `agent.hub_link.HubLink` does.

    Args:
        policy: of the hub.
        hub: as it says of itself.
        providers: behind it.
        labels: of the agent, as its operator has them.
        meter: measures each try.
    """

    def __init__(self, policy: Policy, hub: Hub, providers: Sequence[Provider], labels: Mapping[str, str], meter: Meter) -> None:
        self._ruling = Ruling(policy, hub, Everyone(labels))
        self._router = Router(providers, Circuits(Limits()), meter)
        self._admission = Admission(Limits())
        self.crossed: list[bytes] = []
        self.is_away = False
        self.breaks_after: int | None = None

    @contextmanager
    def use(self) -> Iterator[Any]:
        yield self

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        del try_to_connect
        return grpc.ChannelConnectivity.TRANSIENT_FAILURE if self.is_away else grpc.ChannelConnectivity.READY

    async def channel_ready(self) -> None:
        return

    def unary_stream(self, method: str, **coders: Any) -> Callable[..., "Call"]:
        del method, coders
        return lambda request, **_: Call(self._answer(request))

    async def _answer(self, request: pb.EscalatePromptRequest) -> AsyncIterator[pb.EscalatePromptResponse]:
        self.crossed.append(request.SerializeToString())
        try:
            escalation = read_escalation(pb.EscalatePromptRequest.FromString(self.crossed[-1]), "a1", Limits())
            with self._admission.admit(escalation):
                ruled = await self._ruling.rule(escalation)
                given = 0
                async with aclosing(self._router.answer(ruled)) as pieces:
                    async for piece in pieces:
                        if given == self.breaks_after:
                            raise _broken()
                        given += 1
                        if isinstance(piece, TextDelta):
                            yield pb.EscalatePromptResponse(text_delta=piece.text)
                        else:
                            done = pb.EscalatePromptResponse.Completion(
                                provider=piece.provider, region=piece.region, model=piece.finish.model
                            )
                            yield pb.EscalatePromptResponse(completion=done)
        except SeawallError as error:
            raise _broken(str(error)) from error


class Call:
    """What the generated stub would return."""

    def __init__(self, pieces: AsyncIterator[pb.EscalatePromptResponse]) -> None:
        self._pieces = pieces

    def __aiter__(self) -> AsyncIterator[pb.EscalatePromptResponse]:
        return self._pieces

    def cancel(self) -> None:
        """The generator ends with its reader."""


def _broken(details: str = "") -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), details=details)
