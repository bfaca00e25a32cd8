"""Rounds over Flower between a real hub and real sessions of agents, each with a child process of its own."""

from collections.abc import Callable
from pathlib import Path

import grpc.aio
import pytest

from agent.learning.carrier import Answer
from contract.errors import NotPermitted, Reason
from seawall.hub.v1 import command_pb2, command_pb2_grpc
from seawall.hub.v1.command_pb2 import Command
from tests.fakes.fleet_agent import eventually
from tests.fakes.learning_site import learning_site

DEADLINE_SECONDS, GATHER_SECONDS, STAGE_SECONDS = 100.0, 60.0, 30.0


async def echo(message: bytes) -> bytes:
    return b"echo of " + message


async def refuse(_message: bytes) -> bytes:
    raise NotPermitted(Reason.WINDOW_SPENT, "This device answers nothing.")


def always(answer: Answer) -> Callable[[], Answer]:
    return lambda: answer


async def test_who_is_off_suspended_or_refuses_is_missing_and_the_others_go_on(tmp_path: Path) -> None:
    answers = {"goes-on": always(echo), "off": always(echo), "refuses": always(refuse), "suspended": always(echo)}
    everybody = [*answers, "not-enrolled"]
    async with learning_site(tmp_path, answers, off=frozenset({"off"})) as site:
        async with site.learning.transport.open(everybody, DEADLINE_SECONDS, GATHER_SECONDS) as grid:
            assert set(grid.reachable()) == {"goes-on", "refuses", "suspended"}
            came = await grid.exchange(dict.fromkeys(everybody, b"one"), STAGE_SECONDS)
            assert came == {"goes-on": b"echo of one", "suspended": b"echo of one"}
            await site.suspend("suspended")
            assert await grid.exchange(dict.fromkeys(everybody, b"two"), STAGE_SECONDS) == {"goes-on": b"echo of two"}
            assert set(grid.reachable()) == {"goes-on", "refuses"}
            async with site.learning.transport.open(["suspended"], DEADLINE_SECONDS, GATHER_SECONDS) as other:
                assert not other.reachable()
        await eventually(lambda: site.agents["goes-on"].taking_part.state == "waiting, last round: over", 30)
        said = await site.last_command("off")
        assert (said.action, said.state) == (Command.TAKE_PART, Command.FAILED)
        assert "[learning]" in said.error
        assert (await site.last_command("goes-on")).state == Command.SUCCEEDED


async def test_an_operator_cannot_send_an_agent_into_a_round(tmp_path: Path) -> None:
    async with learning_site(tmp_path, {"a1": always(echo)}) as site, site.hub.channel(site.hub.operator) as channel:
        request = command_pb2.CreateCommandRequest(
            parent="agents/a1", command=Command(action=Command.TAKE_PART), request_id="7d0a4bd7-9d55-4c7c-8f6b-6f0d4d3b8f11"
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await command_pb2_grpc.CommandServiceStub(channel).CreateCommand(request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
